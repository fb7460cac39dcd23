"""A load generator that costs little: it runs on the cores that are being measured."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from typing import Self
from urllib.parse import urlsplit


@dataclass(frozen=True, slots=True)
class BenchClient:
    """One persistent connection, one request at a time (RFC 9112; only answers with Content-Length)."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    @classmethod
    async def connect(cls, url: str) -> Self:
        """Open the connection."""
        parts = urlsplit(url)
        return cls(*await asyncio.open_connection(parts.hostname, parts.port))

    async def post(self, path: str, body: dict[str, str]) -> tuple[int, dict[str, str]]:
        """Send a JSON body; return the status and the headers, their names in lower case."""
        content = json.dumps(body).encode()
        head = f"POST {path} HTTP/1.1\r\nHost: bench\r\nContent-Type: application/json\r\n"
        return await self._exchange(f"{head}Content-Length: {len(content)}\r\n\r\n".encode() + content)

    async def get(self, path: str, token: str) -> tuple[int, dict[str, str]]:
        """Send a GET with an access token; return the status and the headers."""
        return await self._exchange(
            f"GET {path} HTTP/1.1\r\nHost: bench\r\nAuthorization: Bearer {token}\r\n\r\n".encode()
        )

    async def _exchange(self, request: bytes) -> tuple[int, dict[str, str]]:
        self.writer.write(request)
        lines = (await self.reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines[1:])}
        await self.reader.readexactly(int(headers["content-length"]))
        return int(lines[0].split(" ")[1]), headers

    def close(self) -> None:
        """Close the connection."""
        self.writer.close()
