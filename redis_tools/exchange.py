"""One exchange with Valkey: any number of calls go out together, and their answers come back together."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from hashlib import sha1
from typing import Any, Generic, TypeVar

from redis.asyncio import Redis
from redis.exceptions import NoScriptError

from redis_tools.connection import unavailable_when_away

_Result = TypeVar("_Result")

Argument = str | int | bytes


class Script:
    """A Lua script: it runs as a whole, so that no other request slips in between."""

    def __init__(self, source: str) -> None:
        self.source = source
        # The name by which Valkey keeps a script; nothing secret hangs on it.
        self.sha = sha1(source.encode(), usedforsecurity=False).hexdigest()


@dataclass(frozen=True, slots=True)
class Call(Generic[_Result]):
    """A question to Valkey, not yet asked: a script with its keys and arguments, or a plain command."""

    command: tuple[Argument, ...]
    read: Callable[[Any], _Result]
    script: Script | None = None

    @classmethod
    def of(
        cls, script: Script, keys: Sequence[str], arguments: Sequence[Argument], read: Callable[[Any], _Result]
    ) -> Call[_Result]:
        """Run a script. Its keys lie in one hash slot, so that a cluster can run it, too."""
        return cls((len(keys), *keys, *arguments), read, script)


def nothing(_: Any) -> None:
    """Read an answer that says nothing."""


class Valkey:
    """Asks, and raises `Unavailable` when no answer comes."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    async def ask(self, call: Call[_Result]) -> _Result:
        """One call, one answer."""
        with unavailable_when_away():
            try:
                answer = await self._send(_known(call))
            except NoScriptError:
                answer = await self._send(_unknown(call))
        return call.read(answer)

    async def ask_all(self, *calls: Call[Any]) -> list[Any]:
        """Several calls in one exchange; each stands for itself, and together they are no transaction."""
        if len(calls) == 1:
            return [await self.ask(calls[0])]
        with unavailable_when_away():
            answers = await self._exchange([_known(call) for call in calls])
            # Valkey forgets scripts when it restarts. What it did not know it did not run, and is sent in full.
            missing = [place for place, answer in enumerate(answers) if isinstance(answer, NoScriptError)]
            if missing:
                again = await self._exchange([_unknown(calls[place]) for place in missing])
                for place, answer in zip(missing, again, strict=True):
                    answers[place] = answer
            for answer in answers:
                if isinstance(answer, Exception):
                    raise answer
        return [call.read(answer) for call, answer in zip(calls, answers, strict=True)]

    async def _send(self, command: tuple[Argument, ...]) -> Any:
        return await self._redis.execute_command(*command)  # type: ignore[no-untyped-call] # the library's gap

    async def _exchange(self, commands: list[tuple[Argument, ...]]) -> list[Any]:
        async with self._redis.pipeline(transaction=False) as pipeline:
            for command in commands:
                pipeline.execute_command(*command)
            return list(await pipeline.execute(raise_on_error=False))


def _known(call: Call[Any]) -> tuple[Argument, ...]:
    return ("EVALSHA", call.script.sha, *call.command) if call.script else call.command


def _unknown(call: Call[Any]) -> tuple[Argument, ...]:
    if call.script is None:
        raise TypeError("only a script can be unknown")
    return ("EVAL", call.script.source, *call.command)
