"""Requests from one client address: all at one moment, or each as the bytes that somebody wants to be sent."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import Sequence

from tests.support.requests.burst import Answer, Call, _answer, _read, post
from tests.support.service.process import Service


def burst_from(service: Service, address: str, calls: Sequence[Call]) -> list[Answer]:
    """Send all calls at once, each over a connection of its own, from one address; answers in the same order."""
    return asyncio.run(_burst(service.port, address, [post(path, json.dumps(body).encode()) for path, body in calls]))


async def _burst(port: int, address: str, requests: Sequence[bytes]) -> list[Answer]:
    connections = await asyncio.gather(
        *(asyncio.open_connection("127.0.0.1", port, local_addr=(address, 0)) for _ in requests)
    )
    # The last bytes go out in one breath, so that every handler looks at the limit before any has written to it.
    for (_, writer), request in zip(connections, requests, strict=True):
        writer.write(request[:-1])
    await asyncio.gather(*(writer.drain() for _, writer in connections))
    for (_, writer), request in zip(connections, requests, strict=True):
        writer.write(request[-1:])
    return list(await asyncio.gather(*(_answer(reader, writer) for reader, writer in connections)))


def send_from(service: Service, address: str, request: bytes) -> Answer:
    """Send one small request from an address, as it stands."""
    with socket.create_connection(("127.0.0.1", service.port), timeout=20, source_address=(address, 0)) as connection:
        connection.sendall(request)
        received = b""
        while chunk := connection.recv(65_536):
            received += chunk
    return _read(received)
