"""One exchange with Valkey: any number of calls go out together, and their answers come back together."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from hashlib import sha1
from typing import Any, Generic, TypeVar

from hiredis import pack_command
from redis.asyncio import ConnectionPool
from redis.asyncio.connection import AbstractConnection
from redis.exceptions import NoScriptError, ResponseError

from redis_tools.faults import unavailable_when_away

_Result = TypeVar("_Result")

Argument = str | int | bytes


class Script:
    """A Lua script: it runs as a whole, so that no other request slips in between."""

    def __init__(self, source: str) -> None:
        self.source = source
        # The name by which Valkey keeps a script; nothing secret hangs on it.
        self.sha = sha1(source.encode(), usedforsecurity=False).hexdigest()


@dataclass(frozen=True, slots=True)
class Command(Generic[_Result]):
    """A question to Valkey, not yet asked: a script with its keys and arguments, or a plain command."""

    command: tuple[Argument, ...]
    read: Callable[[Any], _Result]
    script: Script | None = None

    @classmethod
    def of(
        cls, script: Script, keys: Sequence[str], arguments: Sequence[Argument], read: Callable[[Any], _Result]
    ) -> Command[_Result]:
        """Run a script. Its keys lie in one hash slot, so that a cluster can run it, too."""
        return cls((len(keys), *keys, *arguments), read, script)


def ignore(_: Any) -> None:
    """Read an answer that says nothing."""


class Valkey:
    """Asks, and raises `Unavailable` when no answer comes."""

    def __init__(self, pool: ConnectionPool, timeout: float) -> None:
        """``timeout`` is how many seconds an exchange may take, the wait for a connection included."""
        self._pool = pool
        self._timeout = timeout

    async def execute(self, call: Command[_Result]) -> _Result:
        """One call, one answer."""
        answer: _Result = (await self.pipeline(call))[0]
        return answer

    async def pipeline(self, *calls: Command[Any]) -> list[Any]:
        """Several calls in one exchange; each stands for itself, and together they are no transaction."""
        if not calls:
            return []
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

    async def _exchange(self, commands: list[tuple[Argument, ...]]) -> list[Any]:
        """Over a connection itself: the library's clients above it do much for others that we do not need."""
        async with asyncio.timeout(self._timeout):
            connection = await self._pool.get_connection()  # type: ignore[no-untyped-call] # the library's gap
            try:
                # The stubs ask for a tuple of one.
                packed = [pack_command(command) for command in commands]  # type: ignore[arg-type]
                await connection.send_packed_command(packed)
                return [await _answer(connection) for _ in commands]
            except BaseException:
                # An answer that is still to come would be taken for the next question's.
                await connection.disconnect(nowait=True)
                raise
            finally:
                await self._pool.release(connection)


async def _answer(connection: AbstractConnection) -> Any:
    """The next answer; a refusal is one, too."""
    try:
        return await connection.read_response()
    except ResponseError as error:
        return error


def _known(call: Command[Any]) -> tuple[Argument, ...]:
    return ("EVALSHA", call.script.sha, *call.command) if call.script else call.command


def _unknown(call: Command[Any]) -> tuple[Argument, ...]:
    if call.script is None:
        raise TypeError("only a script can be unknown")
    return ("EVAL", call.script.source, *call.command)
