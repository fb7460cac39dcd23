"""The production shape as a stranger starts it: a fresh clone, and docker compose."""

from __future__ import annotations

import os
import ssl
import subprocess
import time
from datetime import UTC, datetime
from email.message import EmailMessage
from pathlib import Path

import httpx

from devstack.mailbox import Mail
from tests.support.service.process import ROOT
from tests.support.state.eventually import eventually


class Compose:
    """A project of its own name, cloned from HEAD, in which nothing was edited."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "clone"
        self.name = f"auth-test-{os.getpid()}"
        subprocess.run(["git", "clone", "--quiet", str(ROOT), str(self.folder)], check=True)
        # Nothing of ours may stand in for what a stranger does not have.
        self._environment = {
            name: value
            for name, value in os.environ.items()
            if name in ("PATH", "HOME", "LANG") or name.startswith(("DOCKER_", "COMPOSE_DOCKER_"))
        } | {"COMPOSE_PROJECT_NAME": self.name}

    def docker(self, *arguments: str, patience: float = 120) -> str:
        """Run docker; return what it says."""
        done = subprocess.run(
            ["docker", *arguments],
            cwd=self.folder,
            env=self._environment,
            capture_output=True,
            text=True,
            timeout=patience,
            check=False,
        )
        assert done.returncode == 0, f"docker {' '.join(arguments)}\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}"
        return done.stdout

    def up(self, *options: str) -> float:
        """Build and start everything; return the seconds until it was ready."""
        began = time.monotonic()
        self.docker("compose", "up", "--detach", "--wait", "--build", *options, patience=600)
        return time.monotonic() - began

    def down(self) -> None:
        """Stop as an operator does, who keeps his data."""
        self.docker("compose", "down")

    def remove(self) -> None:
        """Leave nothing behind, not even after a failure half-way."""
        self.docker("compose", "down", "--volumes", "--remove-orphans")
        if self.docker("image", "ls", "--quiet", self.name):
            self.docker("image", "rm", "--force", self.name)

    def containers(self, service: str) -> list[str]:
        """The ids of the service's running containers."""
        return self.docker("compose", "ps", "--quiet", service).split()

    def restart(self, container: str) -> None:
        """Restart one container, and wait until it says that it is healthy."""
        self.docker("restart", "--time", "20", container)
        state = ("inspect", "--format", "{{.State.Health.Status}}", container)
        eventually(lambda: self.docker(*state).strip() == "healthy", within=60, look_every=0.5)

    def certificate(self) -> str:
        """The certificate that init has made."""
        return self.docker("compose", "exec", "-T", "nginx", "cat", "/etc/nginx/tls/fullchain.pem")

    def client(self) -> httpx.Client:
        """Calls as everybody does, and trusts that one certificate."""
        return httpx.Client(
            base_url="https://localhost", verify=ssl.create_default_context(cadata=self.certificate()), timeout=30
        )


class Mailpit:
    """The mails that Mailpit has caught, read through its API."""

    def __init__(self, url: str = "http://127.0.0.1:8025") -> None:
        self._http = httpx.Client(base_url=url, timeout=10)

    def _ids(self, to: str | None) -> list[str]:
        listed = self._http.get("/api/v1/messages", params={"limit": 1000}).raise_for_status().json()["messages"]
        wanted = [mail for mail in listed if to is None or to in [one["Address"] for one in mail["To"]]]
        return [mail["ID"] for mail in reversed(wanted)]

    def _mail(self, number: str) -> Mail:
        told = self._http.get(f"/api/v1/message/{number}").raise_for_status().json()
        letter = EmailMessage()
        letter["Subject"] = told["Subject"]
        letter.set_content("\n".join(told["Text"].splitlines()))
        return Mail(told["To"][0]["Address"], datetime.now(UTC), Path(), letter.as_bytes())

    def mails(self, to: str | None = None) -> list[Mail]:
        """Every mail to the address, the oldest first."""
        return [self._mail(number) for number in self._ids(to)]

    def wait_for(self, to: str, count: int = 1, timeout: float = 30) -> Mail:
        """Wait until the address has got that many, and return the newest."""
        eventually(lambda: len(self._ids(to)) >= count, within=timeout, look_every=0.1)
        return self.mails(to)[-1]
