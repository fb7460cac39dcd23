"""The service as an operator runs it: its own processes, its own database, its own corner of Valkey."""

from __future__ import annotations

import base64
import hashlib
import itertools
import os
import secrets
import signal
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import httpx

from devstack.ports import free_port, is_free
from devstack.processes import spawn
from devstack.stack import Stack
from tests.support.service.fork_server import ForkedProcess, fork_command
from tests.support.users.people import Walker

_OFTEN = "1000000/60"
OUT_OF_THE_WAY = {
    "LIMIT_REGISTRATIONS": _OFTEN,
    "LIMIT_RECOVERIES": _OFTEN,
    "LIMIT_LOGINS": _OFTEN,
    "LIMIT_STEPS": _OFTEN,
    "LIMIT_WRONG_PASSWORDS": _OFTEN,
    "LIMIT_PASSWORDS": _OFTEN,
    "LIMIT_DEVICE_PASSWORDS": _OFTEN,
    "LIMIT_REFRESHES": _OFTEN,
    "LIMIT_EXPORTS": _OFTEN,
    # Every mail brings three guesses, so that even these must be few in a year for the service to start.
    "LIMIT_MAILS": "1000/86400",
    "LIMIT_DEVICE_MAILS": "1000/86400",
    "THERMOSTAT_LOGIN": "1000000,1000000,1000000",
    "THERMOSTAT_RECOVER": "1000000,1000000,1000000",
}
"""Limits as they are for tests that are not about them: asked at every step, and never reached."""

AS_SHIPPED = dict.fromkeys(OUT_OF_THE_WAY, "")
"""For tests that are about them: ``serving(**AS_SHIPPED)``."""

SERVICE_CLIENT = ("tests", secrets.token_urlsafe(32))
"""Name and secret of a service that may introspect and revoke."""


def basic(name: str, secret: str) -> str:
    """The header by which a service shows who it is."""
    return "Basic " + base64.b64encode(f"{name}:{secret}".encode()).decode()


NO_TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
"""For clients that speak plain HTTP alone; by itself each would read every root certificate, which takes 20 ms."""

ROOT = Path(__file__).parents[3]

_addresses = itertools.count(1)


def fresh_address() -> str:
    """A client address that no other test uses, so that limits of one are not met by another."""
    number = next(_addresses)
    return f"127.{10 + number // 62_500}.{number // 250 % 250}.{number % 250 + 1}"


class Service:
    """``python main.py serve`` in processes of its own; every setting can be given by its name, "" unsets it."""

    def __init__(
        self, stack: Stack, database: str, valkey_db: int, folder: Path, *, workers: int = 1, **settings: str
    ) -> None:
        self.stack = stack
        self.workers = workers
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.database_url = stack.postgres.url(database)
        self.redis_url = stack.valkey.url(valkey_db)
        self.log_file = folder / f"service-{self.port}.log"
        environment = {
            **{name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ},
            "DATABASE_URL": self.database_url,
            "REDIS_URL": self.redis_url,
            "SMTP_URL": stack.mailbox.url,
            "MAIL_FROM": "Auth <auth@example.com>",
            "SECRET_KEYS": secrets.token_urlsafe(32),
            "ISSUER": self.url,
            "ENVIRONMENT": "development",
            "HASH_ITERATIONS": "1000",
            "SERVICE_CLIENTS": f"{SERVICE_CLIENT[0]}:{hashlib.sha256(SERVICE_CLIENT[1].encode()).hexdigest()}",
            **OUT_OF_THE_WAY,
            **settings,
        }
        self.environment = {name: value for name, value in environment.items() if value}
        self._process: subprocess.Popen[bytes] | ForkedProcess | None = None
        self._log: IO[bytes] | None = None

    @property
    def pid(self) -> int:
        """The process that was started; with several workers, their supervisor."""
        assert self._process is not None
        return self._process.pid

    def start(self, *, wait: bool = True, new_interpreter: bool = False) -> None:
        """Start the processes, and wait until the service says that it is ready."""
        self._log = self.log_file.open("ab")
        command = ["serve", "--port", str(self.port), "--workers", str(self.workers)]
        # A library is preloaded by a new interpreter alone.
        if new_interpreter or sys.platform != "linux" or "LD_PRELOAD" in self.environment:
            command = [sys.executable, str(ROOT / "main.py"), *command]
            # It dies with the tests, should they be killed.
            self._process = spawn(command, folder=ROOT, stdout=self._log, environment=self.environment)
        else:
            self._process = fork_command(command, self.environment, self._log)
        if wait:
            self.wait_until_ready()

    def wait_until_ready(self, seconds: float = 60) -> None:
        deadline = time.monotonic() + seconds
        with httpx.Client(base_url=self.url, timeout=2, verify=NO_TLS) as asking:
            while time.monotonic() < deadline:
                assert self._process is None or self._process.poll() is None, self.log()
                try:
                    if asking.get("/health/ready", headers={"Connection": "close"}).status_code == 200:
                        return
                except httpx.TransportError:
                    pass
                time.sleep(0.03)
        raise TimeoutError(f"the service is not ready after {seconds} s:\n{self.log()}")

    def stop(self) -> int | None:
        """Stop as an operator does; return the exit code."""
        if self._process is None:
            return None
        self._process.send_signal(signal.SIGTERM)
        code = self._process.wait(15)
        self._clear()
        return code

    def kill(self) -> None:
        """End every process of the service without a word, as a power cut would."""
        if self._process is not None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait(15)
            # The workers give up their listening sockets a moment after their supervisor is gone.
            deadline = time.monotonic() + 5
            while not is_free(self.port) and time.monotonic() < deadline:
                time.sleep(0.005)
            self._clear()

    def _clear(self) -> None:
        self._process = None
        if self._log:
            self._log.close()

    def log(self) -> str:
        """Everything that the service has written so far."""
        return self.log_file.read_text(errors="replace")

    def get(self, path: str) -> httpx.Response:
        """The answer to one GET over a connection of its own: with several workers, of any of them."""
        return httpx.get(f"{self.url}{path}", verify=NO_TLS)

    def client(self, address: str | None = None, **options: object) -> httpx.Client:
        """An HTTP client that calls from one address of 127.0.0.0/8."""
        transport = httpx.HTTPTransport(
            local_address=address or fresh_address(), limits=httpx.Limits(max_connections=None), verify=NO_TLS
        )
        return httpx.Client(base_url=self.url, transport=transport, timeout=15, **options)  # type: ignore[arg-type]

    @contextmanager
    def walker(self) -> Iterator[Walker]:
        """Walk people through flows, from one client address and by the mails of this service's stack."""
        with self.client() as client:
            yield Walker(client, self.stack.mailbox)
