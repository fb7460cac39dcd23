"""The thermostat: wrong guesses at all codes of a purpose raise the least length of its codes (service.md, section 4).

It stops an attacker who tries one guess at each of many accounts, which the ladder of no account can see.

A guess is reserved before its code is compared, and settled afterwards. Were it charged for good at once, an attacker
who sends twenty guesses at no flow in one burst would raise the floor, and invalidate every code under way.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from models.settings.rules import ThermostatSettings
from models.values.code_length_ladder import Rung
from redis_tools.command import Command, Script, load_script

_Result = TypeVar("_Result")

_RESERVE = load_script("thermostat_reserve")
_SETTLE = load_script("thermostat_settle")
_STATE = load_script("thermostat_state")


@dataclass(frozen=True, slots=True)
class Reservation:
    """A guess under way: it may be compared with codes of its epoch, and has to be settled by one of its commands."""

    thermostat: Thermostat
    name: str
    epoch: int
    level: int

    def cancel(self) -> Command[int | None]:
        """Settle a guess that was not compared, or was right and had no effect."""
        return self.thermostat.settle(self, "cancelled")

    def failed(self) -> Command[int | None]:
        """Settle a wrong guess; the answer is the new floor in digits, if this guess raised it."""
        return self.thermostat.settle(self, "failed")

    def succeeded(self, wrong_before: int) -> Command[int | None]:
        """Settle a right guess, which explains the wrong guesses that its flow had before."""
        return self.thermostat.settle(self, "succeeded", wrong_before)


@dataclass(frozen=True, slots=True)
class ThermostatState:
    """The state of a thermostat, for metrics and for the length of the next code."""

    digits: int
    epoch: int
    left: int | None
    wrong: int
    won: int
    won_a_day: int


def thermostats(settings: ThermostatSettings, rungs: Mapping[str, Sequence[Rung]]) -> dict[str, Thermostat]:
    """Return the thermostat of each purpose that has one; a registration has no account to take over."""
    caps = {"login": settings.login, "recover": settings.recover}
    built = {}
    for purpose, its_caps in caps.items():
        floors = [rung.digits for rung in rungs[purpose]]
        built[purpose] = Thermostat(purpose, floors, its_caps[len(its_caps) - len(floors) + 1 :])
    return built


class Thermostat:
    """The thermostat of one purpose: its floors, the shortest codes first, and the guesses a day that each bears."""

    def __init__(self, purpose: str, floors: Sequence[int], caps: Sequence[int]) -> None:
        """There is one floor more than there are caps: the last floor has no bound."""
        if len(floors) != len(caps) + 1:
            raise ValueError("every floor but the last needs a cap")
        self.purpose = purpose
        self.lowest = floors[0]
        self._floors = tuple(floors)
        self._caps = tuple(caps)

    def _command(self, script: Script, read: Callable[[Any], _Result], *arguments: str | int) -> Command[_Result]:
        keys = [f"thermostat:{{{self.purpose}}}", f"thermostat:{{{self.purpose}}}:held"]
        return script.command(keys, [*(*arguments, 0, 0, 0, 0)[:4], *self._caps], read)

    def reserve(self) -> Command[Reservation | None]:
        """Reserve one guess; None while the guesses under way are all that the floor still bears."""
        name = secrets.token_hex(8)

        def read(answer: Any) -> Reservation | None:
            epoch, level = map(int, answer)
            return None if epoch < 0 else Reservation(self, name, epoch, level)

        return self._command(_RESERVE, read, name)

    def settle(self, reservation: Reservation, outcome: str, explained: int = 0) -> Command[int | None]:
        """Settle a guess; see the commands of `Reservation`."""
        return self._command(_SETTLE, self._raised_to, reservation.name, reservation.level, outcome, explained)

    def get_state(self) -> Command[ThermostatState]:
        """Return the state, in which a floor has fallen if its time is over."""
        return self._command(_STATE, self._state)

    def get_epoch(self) -> Command[int]:
        """Return how often the floor was raised."""
        return Command(("HGET", f"thermostat:{{{self.purpose}}}", "epoch"), lambda answer: int(answer or 0))

    def _raised_to(self, answer: Any) -> int | None:
        return self._floors[int(answer) - 1] if int(answer) else None

    def _state(self, answer: Any) -> ThermostatState:
        level, epoch, left, wrong, won, won_a_day = map(int, answer)
        return ThermostatState(self._floors[level - 1], epoch, left if left >= 0 else None, wrong, won, won_a_day)
