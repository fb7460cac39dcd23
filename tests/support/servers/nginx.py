"""A real nginx with the nginx.conf that production has, moved to high ports of the loopback network."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import Self

import httpx

from devstack.ports import free_port
from devstack.processes import spawn, stop
from tests.support.service.process import ROOT, fresh_address
from tests.support.state.eventually import eventually


class Nginx:
    """nginx in front of whatever the name server names, as DOMAIN, TRUSTED_PROXIES and ADMIN_ALLOW have it."""

    def __init__(self, folder: Path, *, names: int, app_port: int, **settings: str) -> None:
        program = shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
        assert program, "Debian's package nginx is needed"
        self._program = program
        self.folder = folder
        self.http, self.https, self.local = free_port(), free_port(), free_port()
        self._settings = settings
        self._moves = {
            "listen 80 ": f"listen 127.0.0.1:{self.http} ",
            "listen 443 ": f"listen 127.0.0.1:{self.https} ",
            "listen 8000 ": f"listen 127.0.0.1:{self.local} ",
            '"8000 " 1;': f'"{self.local} " 1;',
            "resolver 127.0.0.11 ": f"resolver 127.0.0.1:{names} ",
            "default app:8000;": f"default app:{app_port};",
        }
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        command = [sys.executable, "main.py", "init", "--into", str(self.folder / "made-by-init")]
        subprocess.run(command, cwd=ROOT, env=self._settings, check=True, capture_output=True)
        (self.folder / "made").symlink_to("made-by-init/nginx")
        (self.folder / "tls").symlink_to("made-by-init/tls")
        text = (ROOT / "nginx.conf").read_text()
        for here, there in self._moves.items():
            assert text.count(here) == 1, f"nginx.conf has not one {here!r}"
            text = text.replace(here, there)
        (self.folder / "nginx.conf").write_text(text)
        written = self.folder / "run"
        written.mkdir()
        # As in its container, where it is one user from the start, who can read the key.
        as_one_user = "user root; " if os.geteuid() == 0 else ""
        options = ["-p", f"{written}/", "-c", str(self.folder / "nginx.conf"), "-g", f"{as_one_user}daemon off;"]
        with (self.folder / "log").open("ab") as log:
            self._process = spawn(
                [self._program, *options], folder=self.folder, stdout=log, environment=dict(os.environ)
            )
        deadline = time.monotonic() + 10
        while True:
            assert self._process.poll() is None, self.log()
            try:
                socket.create_connection(("127.0.0.1", self.local), timeout=1).close()
            except OSError:
                assert time.monotonic() < deadline, self.log()
                time.sleep(0.02)
            else:
                return self

    def __exit__(
        self, _type: type[BaseException] | None, _error: BaseException | None, _: TracebackType | None
    ) -> None:
        assert self._process is not None
        stop(self._process, signal.SIGTERM, 5)

    def log(self) -> str:
        """Everything that nginx has written so far, requests and errors."""
        return (self.folder / "log").read_text(errors="replace")

    def lines(self, word: str, number: int) -> list[dict[str, str]]:
        """The lines of the access log that have the word; each is written a moment after its answer."""

        def found() -> list[str]:
            return [line for line in self.log().splitlines() if word in line and line.startswith("{")]

        eventually(lambda: len(found()) >= number, within=5)
        return [json.loads(line) for line in found()]

    def trust(self) -> ssl.SSLContext:
        """Trust in the certificate that is in use now, and in no other."""
        return ssl.create_default_context(cafile=str(self.folder / "tls/fullchain.pem"))

    def client(self, port: int | None = None, address: str | None = None) -> httpx.Client:
        """A client of an address of its own: of HTTPS, or of another port by plain HTTP."""
        transport = httpx.HTTPTransport(local_address=address or fresh_address(), verify=self.trust())
        base = f"https://localhost:{self.https}" if port is None else f"http://127.0.0.1:{port}"
        return httpx.Client(base_url=base, transport=transport, timeout=15)

    def raw(self, request: bytes, *, address: str | None = None, patience: float = 8) -> bytes:
        """Everything that is answered to these bytes, by plain HTTP, until nginx closes the connection."""
        received = b""
        here = (address or fresh_address(), 0)
        with socket.create_connection(("127.0.0.1", self.local), timeout=patience, source_address=here) as line:
            line.sendall(request)
            while piece := line.recv(65_536):
                received += piece
        return received


def statuses(received: bytes) -> list[int]:
    """The status of each answer in what was received on one connection."""
    return [int(found) for found in re.findall(rb"HTTP/1\.[01] (\d{3}) ", received)]
