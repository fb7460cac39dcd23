"""Requests that reach the service at one moment, each over a connection of its own.

Each comes from a client address of its own, too, unless one address is named for all of them.
"""

from __future__ import annotations

import asyncio
import json
import select
import socket
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from tests.support.service.process import Service, fresh_address

Call = tuple[str, dict[str, object]]
"""A path and a JSON body."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back on one of the connections."""

    status: int
    head: str
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def outcome(self) -> tuple[int, str]:
        """Status, and the code of a refusal; a success has none."""
        return self.status, "" if self.status < 400 else self.json["code"]


def post(path: str, body: bytes, *headers: str) -> bytes:
    """The bytes of a POST of JSON, with a length unless a header says that it is chunked."""
    lines = [f"POST {path} HTTP/1.1", "Host: localhost", "Connection: close", *headers]
    if not any(header.lower().startswith("content-type:") for header in headers):
        lines.append("Content-Type: application/json")
    if not any(header.lower().startswith("transfer-encoding:") for header in headers):
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode() + body


def burst(service: Service, calls: Sequence[Call], address: str | None = None) -> list[Answer]:
    """Send all calls at once and return their answers in the same order."""
    return burst_of(service, [post(path, json.dumps(body).encode()) for path, body in calls], address)


def burst_of(service: Service, requests: Sequence[bytes], address: str | None = None) -> list[Answer]:
    """The same for requests as they stand."""
    return asyncio.run(_burst(service.port, requests, address))


def in_bursts(service: Service, calls: Sequence[Call], size: int = 20) -> list[Answer]:
    """Send many calls, some at once: quick, and nowhere near any limit of a client address."""
    return [answer for start in range(0, len(calls), size) for answer in burst(service, calls[start : start + size])]


def outcomes(answers: Sequence[Answer]) -> Counter[tuple[int, str]]:
    """How often each status and code came."""
    return Counter(answer.outcome for answer in answers)


def send(service: Service, request: bytes, address: str | None = None) -> Answer:
    """Send one request as it stands; stop, as a client should, when the answer comes before all of it is sent."""
    source = (address or fresh_address(), 0)
    with socket.create_connection(("127.0.0.1", service.port), timeout=20, source_address=source) as connection:
        with suppress(ConnectionError):
            for start in range(0, len(request), 65_536):
                if select.select([connection], [], [], 0)[0]:
                    break
                connection.sendall(request[start : start + 65_536])
        received = b""
        # A service that hangs up with bytes of ours unread resets the connection; what it said before is still there.
        with suppress(ConnectionError):
            while chunk := connection.recv(65_536):
                received += chunk
    return _read(received)


async def _burst(port: int, requests: Sequence[bytes], address: str | None) -> list[Answer]:
    sources = [(address or fresh_address(), 0) for _ in requests]
    connections = await asyncio.gather(
        *(asyncio.open_connection("127.0.0.1", port, local_addr=source) for source in sources)
    )
    # All but the last byte goes ahead. The last ones, sent in one breath, let every handler begin at the same moment,
    # which no barrier in front of a connect or of a pool does.
    for (_, writer), request in zip(connections, requests, strict=True):
        writer.write(request[:-1])
    await asyncio.gather(*(writer.drain() for _, writer in connections))
    for (_, writer), request in zip(connections, requests, strict=True):
        writer.write(request[-1:])
    return list(await asyncio.gather(*(_answer(reader, writer) for reader, writer in connections)))


async def _answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> Answer:
    received = b""
    try:
        async with asyncio.timeout(20):
            while chunk := await reader.read(65_536):
                received += chunk
    finally:
        writer.close()
    return _read(received)


def _read(received: bytes) -> Answer:
    head, _, body = received.partition(b"\r\n\r\n")
    assert head, "the service hung up without an answer"
    return Answer(int(head.split(b" ", 2)[1]), head.decode(), body)
