"""The service as a child of `make run`: migrated, served, watched, stopped."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from textwrap import indent
from urllib.request import ProxyHandler, build_opener

from devstack import processes
from devstack.processes import DevstackError
from devstack.server import Server
from devstack.stack import Stack

ROOT = Path(__file__).parent.parent
CREATE_ADMIN = "create-admin --if-none --generate --email admin@example.com --login admin"


class Service(Server):
    """The service on 127.0.0.1; its command is followed by a word, such as `migrate` or `serve`."""

    name = "The service"
    # The service takes at most ten seconds for a graceful stop.
    stop_timeout = 12.0

    def __init__(self, stack: Stack, port: int, command: Sequence[str], settings: Mapping[str, str]) -> None:
        super().__init__(stack.data / "service", port)
        self.working_folder = ROOT
        self.environment = os.environ | settings
        self._words = command

    def migrate(self) -> None:
        """Bring the database up to date; what the command prints is for the user."""
        code, _, errors = self._run("migrate", stdout=None)
        if code != 0:
            raise DevstackError(f"The migrations failed with exit code {code}. {errors}")

    def create_admin(self) -> str:
        """Create the first administrator unless there is one; return what the user has to know of it."""
        code, credentials, errors = self._run(*CREATE_ADMIN.split(), stdout=subprocess.PIPE)
        if code != 0:
            return f"\nNo administrator was made. {errors}"
        return credentials and f"\nThe first administrator, shown only once:\n\n{indent(credentials, '  ')}"

    def _run(self, *words: str, stdout: int | None) -> tuple[int, str, str]:
        return processes.finish(
            processes.spawn(
                [*self._words, *words],
                folder=ROOT,
                stdout=stdout,
                stderr=subprocess.PIPE,
                environment=self.environment,
            )
        )

    def _command(self) -> list[str]:
        return [*self._words, "serve", "--host", "127.0.0.1", "--port", str(self.port)]

    def _ping(self) -> None:
        build_opener(ProxyHandler({})).open(f"http://127.0.0.1:{self.port}/health/ready", timeout=5).close()
