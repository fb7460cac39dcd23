"""What the benchmarks start and ask: the service on the servers of `devstack`, and one logged-in user."""

from __future__ import annotations

import json
import secrets
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol, Self

import httpx

from backend.passwords.hasher import hash_password
from devstack.mailbox import Mail
from devstack.ports import free_port
from devstack.service import ROOT, Service
from devstack.stack import Stack

PASSWORD = "correct horse battery"
_OFTEN = "1000000/60"
_LIMITS = ("REGISTRATIONS", "LOGINS", "STEPS", "WRONG_PASSWORDS", "PASSWORDS", "DEVICE_PASSWORDS")


class Inbox(Protocol):
    """Where the service's mail arrives."""

    def wait_for(self, to: str, count: int = 1, timeout: float = 10) -> Mail:
        """Wait until so many mails to the address have come, and return the newest."""


class BenchService(Service):
    """The service with limits that no benchmark reaches; as `devstack` runs it, with more worker processes."""

    def __init__(self, stack: Stack, workers: int = 1, **settings: str) -> None:
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        self._workers = workers
        ours = {
            "DATABASE_URL": stack.postgres.url(),
            "REDIS_URL": stack.valkey.url(),
            "SMTP_URL": stack.mailbox.url,
            "MAIL_FROM": "Bench <bench@example.com>",
            "SECRET_KEYS": secrets.token_urlsafe(32),
            "ISSUER": self.url,
            "ENVIRONMENT": "development",
            "HASH_ITERATIONS": "1000",
            **{f"LIMIT_{name}": _OFTEN for name in _LIMITS},
            "LIMIT_MAILS": "1000/86400",
            "THERMOSTAT_LOGIN": "1000000,1000000,1000000",
        }
        super().__init__(stack, port, (sys.executable, str(ROOT / "main.py")), ours | settings)

    @contextmanager
    def running(self) -> Iterator[Self]:
        """Migrate, start, and stop at the end."""
        self.migrate()
        self.start()
        try:
            yield self
        finally:
            self.stop()

    def _command(self) -> list[str]:
        return [*super()._command(), "--workers", str(self._workers)]


def import_people(service: BenchService, folder: Path, count: int, iterations: int) -> Sequence[str]:
    """Import accounts with one password, hashed once; return their logins."""
    logins = [f"person-{number}" for number in range(count)]
    password_hash = hash_password(PASSWORD, iterations)
    file = folder / "people.ndjson"
    with file.open("w") as output:
        for login in logins:
            user = {"email": f"{login}@example.com", "login": login, "password_hash": password_hash}
            output.write(json.dumps(user) + "\n")
    command = [sys.executable, "main.py", "import-users", str(file)]
    subprocess.run(command, cwd=ROOT, env=service.environment, check=True)
    return logins


def log_in(service: BenchService, inbox: Inbox, login: str) -> str:
    """Log in by password and mailed code; return the access token."""
    with httpx.Client(base_url=service.url, timeout=15) as client:
        opened = client.post("/login", json={"login": login, "password": PASSWORD}).raise_for_status().json()
        code = inbox.wait_for(f"{login}@example.com").code
        confirmed = client.post("/login/confirm", json={"session_key": opened["session_key"], "code": code})
        token: str = confirmed.raise_for_status().json()["access_token"]
        return token
