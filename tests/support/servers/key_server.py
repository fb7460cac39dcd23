"""An issuer of keys on a port of its own that counts who asks, and says whatever it is told to."""

from __future__ import annotations

import json
import socketserver
import ssl
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from hashlib import sha256
from typing import Any, Self

from devstack.ports import free_port
from jwt_tools.keys import SigningKey

METADATA = "/.well-known/oauth-authorization-server"
JWKS = "/.well-known/jwks.json"

Call = tuple[str, str]
"""A path, and the entity tag that the caller knows."""

Saying = bytes | Callable[[], Iterable[bytes]]
"""All that is said on a connection, at once or little by little."""


def http(status: int, body: bytes = b"", **headers: str) -> bytes:
    """A whole answer; ``Cache_Control="…"`` is how a header is given."""
    lines = [f"HTTP/1.1 {status} Whatever", f"Content-Length: {len(body)}", "Connection: close"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items() if value]
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + body


def published(jwks: object, **headers: str) -> bytes:
    """An answer with JSON in it."""
    return http(200, json.dumps(jwks).encode(), Content_Type="application/json", **headers)


class KeyServer:
    """A server of HTTP/1.1 in threads of its own; while `open` is cleared it takes calls and does not answer."""

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self.tls = tls
        self.port = free_port()
        self.url = f"{'https' if tls else 'http'}://127.0.0.1:{self.port}"
        self.signing = [SigningKey.generate()]
        self.cache_control = "public, max-age=300"
        self.age = ""
        self.metadata: dict[str, Any] = {"issuer": self.url, "jwks_uri": f"{self.url}{JWKS}"}
        self.says: dict[str, Saying] = {}
        """What it says at a path in place of what it should."""
        self.calls: list[Call] = []
        self.open = threading.Event()
        self._server: _Server | None = None

    def __enter__(self) -> Self:
        self.open.set()
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.open.set()
        self.stop()

    def start(self) -> None:
        self._server = _Server(self)
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()

    def stop(self) -> None:
        """Be away: connections are refused."""
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None

    @property
    def key(self) -> SigningKey:
        """The newest one."""
        return self.signing[0]

    @property
    def paths(self) -> list[str]:
        """Who was asked for what, in order."""
        return [path for path, _ in self.calls]

    def rotate(self) -> SigningKey:
        """Publish another key, and no other any more."""
        self.signing = [SigningKey.generate()]
        return self.key

    def answer(self, path: str, known: str) -> Iterable[bytes]:
        saying = self.says[path] if path in self.says else self._honest(path, known)
        return [saying] if isinstance(saying, bytes) else saying()

    def _honest(self, path: str, known: str) -> bytes:
        if path == METADATA:
            return published(self.metadata)
        body = json.dumps({"keys": [key.verifying.jwk for key in self.signing]}).encode()
        etag = f'"{sha256(body).hexdigest()}"'
        status, body = (304, b"") if known == etag else (200, body)
        return http(status, body, ETag=etag, Cache_Control=self.cache_control, Age=self.age)


def dripping(message: bytes, drop: bytes, seconds: float) -> Saying:
    """A message, and then drops, ten a second, for as long as anybody listens, but not forever."""

    def drip() -> Iterator[bytes]:
        yield message
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            time.sleep(0.1)
            yield drop

    return drip


class _Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True
    block_on_close = False
    request_queue_size = 128

    def __init__(self, issuer: KeyServer) -> None:
        super().__init__(("127.0.0.1", issuer.port), _Conversation)
        self.issuer = issuer

    def handle_error(self, request: object, client_address: object) -> None:
        """Callers who hang up are expected here, and a test that gets no answer sees for itself."""


class _Conversation(socketserver.StreamRequestHandler):
    server: _Server

    def setup(self) -> None:
        if self.server.issuer.tls:
            self.request = self.server.issuer.tls.wrap_socket(self.request, server_side=True)
        super().setup()

    def handle(self) -> None:
        issuer = self.server.issuer
        path = self.rfile.readline().split(b" ")[1].decode()
        known = ""
        while (line := self.rfile.readline().strip()) != b"":
            name, _, value = line.partition(b":")
            if name.lower() == b"if-none-match":
                known = value.strip().decode()
        issuer.calls.append((path, known))
        issuer.open.wait(30)
        # A caller who loses patience hangs up, which is what some tests are about.
        with suppress(OSError):
            for chunk in issuer.answer(path, known):
                self.wfile.write(chunk)
