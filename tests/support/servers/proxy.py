"""A TCP proxy in front of PostgreSQL, Valkey or SMTP: passes bytes on, swallows them, or holds one message back."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import Future
from contextlib import suppress
from typing import Self

from devstack.ports import free_port


class Hold:
    """Keeps one message back, or the answer to it, on whichever connection it comes, until `let_go`."""

    def __init__(self, patterns: tuple[bytes, ...], *, answer: bool, after: int) -> None:
        self.patterns = patterns
        self.answer = answer
        self.after = after
        self.client_port = 0
        self._here = threading.Event()
        self._forward: Future[bool] = Future()

    def wait(self, seconds: float = 5) -> None:
        """Return when the message is in our hands."""
        if not self._here.wait(seconds):
            raise TimeoutError(f"no message to hold was seen within {seconds:g} s: {self.patterns!r}")

    def let_go(self, *, forward: bool) -> None:
        """Pass the message on, or drop it and cut its connection; a second word changes nothing."""
        if not self._forward.done():
            self._forward.set_result(forward)

    async def decide(self, client_port: int) -> bool:
        """Called by the proxy, which has the message."""
        self.client_port = client_port
        self._here.set()
        return await asyncio.wrap_future(self._forward)


class _Connection:
    """What has gone up on one connection, how much of each hold it matched, and whose answer is awaited."""

    def __init__(self, client_port: int) -> None:
        self.client_port = client_port
        self.sent = bytearray()
        self.places: dict[Hold, tuple[int, int]] = {}
        self.awaited: Hold | None = None

    def matches(self, hold: Hold, start: int) -> bool:
        """Whether all the patterns have gone up, one after the other, since the hold was first looked for."""
        found, start = self.places.get(hold, (0, start))
        while found < len(hold.patterns) and (at := self.sent.find(hold.patterns[found], start)) >= 0:
            start = at + len(hold.patterns[found])
            found += 1
        self.places[hold] = found, start
        return found == len(hold.patterns)


class Proxy:
    """Listens on a port of its own, in a thread of its own, in front of a server on 127.0.0.1."""

    def __init__(self, upstream: int) -> None:
        self.port = free_port()
        self.swallow = False
        """While true no byte passes in either direction, and nobody is told: a network that is gone."""
        self._upstream = upstream
        self._holds: list[Hold] = []
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name=f"proxy-{self.port}", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        serving = asyncio.start_server(self._serve, "127.0.0.1", self.port)
        asyncio.run_coroutine_threadsafe(serving, self._loop).result(5)
        return self

    def __exit__(self, *_: object) -> None:
        asyncio.run_coroutine_threadsafe(self._cut(), self._loop).result(5)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def hold(self, *patterns: bytes, answer: bool = False, after: int = 0) -> Hold:
        """Hold back the next message that completes the patterns on one connection, or the first bytes answering it.

        `after` messages that do so are let pass first, on whichever connections they come.
        """
        hold = Hold(patterns, answer=answer, after=after)
        self._loop.call_soon_threadsafe(self._holds.append, hold)
        return hold

    async def _cut(self) -> None:
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = _Connection(writer.get_extra_info("peername")[1])
        ends = [writer]
        try:
            server, up = await asyncio.open_connection("127.0.0.1", self._upstream)
            ends.append(up)
            ways = [self._pump(reader, up, connection, up=True), self._pump(server, writer, connection, up=False)]
            # When one end is closed the other one is cut as well.
            await asyncio.wait([asyncio.create_task(way) for way in ways], return_when=asyncio.FIRST_COMPLETED)
        except OSError:
            pass
        finally:
            for end in ends:
                end.transport.abort()

    async def _pump(
        self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, connection: _Connection, *, up: bool
    ) -> None:
        with suppress(OSError):
            while message := await source.read(65_536):
                if self.swallow:
                    continue
                hold = self._held_question(connection, message) if up else connection.awaited
                if not up:
                    connection.awaited = None
                if hold is not None and not await hold.decide(connection.client_port):
                    return
                sink.write(message)
                await sink.drain()

    def _held_question(self, connection: _Connection, message: bytes) -> Hold | None:
        """The hold that this message is kept back for; one whose answer is wanted is noted and its question passes."""
        start = len(connection.sent)
        connection.sent += message
        for hold in list(self._holds):
            if not connection.matches(hold, start):
                continue
            if hold.after:
                hold.after -= 1
                connection.places[hold] = 0, len(connection.sent)
                continue
            self._holds.remove(hold)
            if not hold.answer:
                return hold
            connection.awaited = hold
        return None
