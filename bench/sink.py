"""An SMTP server that costs little: it runs on the cores that are being measured."""

from __future__ import annotations

import asyncio
import threading
from collections import defaultdict
from concurrent.futures import Future
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Self, cast

import uvloop

from devstack.mailbox import Mail
from devstack.ports import free_port

_END = b"\r\n.\r\n"
_ANSWERS = {b"EHLO": b"250-sink\r\n250 SIZE 1048576\r\n", b"DATA": b"354 go on\r\n", b"QUIT": b"221 bye\r\n"}


class Sink:
    """Keeps every mail in memory; as a context manager it listens on a free port."""

    def __init__(self) -> None:
        self.port = free_port()
        self._mails: defaultdict[str, list[Mail]] = defaultdict(list)
        self._arrived = threading.Condition()
        self._loop = uvloop.new_event_loop()
        self._closing = asyncio.Event()

    @property
    def url(self) -> str:
        """Return the address of the server."""
        return f"smtp://127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        listening: Future[None] = Future()
        self._thread = threading.Thread(target=self._loop.run_until_complete, args=(self._serve(listening),))
        self._thread.start()
        listening.result()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._loop.call_soon_threadsafe(self._closing.set)
        self._thread.join()
        self._loop.close()

    def wait_for(self, to: str, count: int = 1, timeout: float = 10) -> Mail:
        """Wait until so many mails to the address have come, and return the newest."""
        with self._arrived:
            if not self._arrived.wait_for(lambda: len(self._mails[to]) >= count, timeout):
                raise TimeoutError(to)
            return self._mails[to][-1]

    def keep(self, to: str, content: bytes) -> None:
        """Store a mail."""
        with self._arrived:
            self._mails[to].append(Mail(to, datetime.now(UTC), Path(), content))
            self._arrived.notify_all()

    async def _serve(self, listening: Future[None]) -> None:
        server = await self._loop.create_server(lambda: _Session(self), "127.0.0.1", self.port)
        listening.set_result(None)
        await self._closing.wait()
        server.close()


class _Session(asyncio.Protocol):
    """One client, which waits for an answer to each command (RFC 5321 section 3.3)."""

    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self._received = b""
        self._to = ""
        self._in_data = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.WriteTransport", transport)
        self._transport.write(b"220 sink\r\n")

    def data_received(self, data: bytes) -> None:
        self._received += data
        if not self._received.endswith(_END if self._in_data else b"\r\n"):
            return
        received, self._received = self._received, b""
        if self._in_data:
            self._sink.keep(self._to, received.removesuffix(_END))
            self._in_data = False
            self._transport.write(b"250 taken\r\n")
            return
        verb = received[:4].upper()
        if verb == b"RCPT":
            self._to = received.partition(b"<")[2].partition(b">")[0].decode()
        self._in_data = verb == b"DATA"
        self._transport.write(_ANSWERS.get(verb, b"250 fine\r\n"))
