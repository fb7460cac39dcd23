"""The service as a child of `make run`: prepared, served, watched, stopped."""

import http.client
import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import IO

from devstack import processes
from devstack.folders import end_of
from devstack.processes import DevstackError

ROOT = Path(__file__).parent.parent
# Ten seconds are what the service may take for a graceful stop, two are for the way.
PATIENCE = 12.0


@dataclass(frozen=True, slots=True)
class Told:
    """What a command said, and why it failed if it did."""

    said: str
    complaint: str


class Service:
    """The service on 127.0.0.1, started by `command` with a word after it, such as `migrate` or `serve`."""

    def __init__(self, command: Sequence[str], environment: Mapping[str, str], port: int, log: Path) -> None:
        """Name what to run; nothing is started yet."""
        self._command = [*command]
        self._environment = environment
        self._port = port
        self._log = log
        self._process: subprocess.Popen[bytes] | None = None

    def migrate(self) -> None:
        """Bring the database up to date; what the command says on its standard output is for the person."""
        self._process = self._spawn(["migrate"], stdout=None)
        code = self._process.wait()
        if code != 0:
            # Most often it is a setting, of which the command that looks at nothing else speaks best.
            if wrong := self._ask("check-config").complaint:
                raise DevstackError(wrong)
            raise DevstackError(f"The migrations failed with exit code {code}. {end_of(self._log)}")

    def create_admin(self) -> Told:
        """Make the first administrator; what the command says is his login and password, or nothing if there is one."""
        words = ("create-admin", "--if-none", "--generate", "--email", "admin@example.com", "--login", "admin")
        return self._ask(*words)

    def serve(self, workers: int) -> None:
        """Start the service; it writes to its log."""
        words = ["serve", "--host", "127.0.0.1", "--port", str(self._port), "--workers", str(workers)]
        with self._log.open("ab") as log:
            self._process = self._spawn(words, stdout=log)

    def wait_until_ready(self, patience: float = 60) -> None:
        """Return when the service says of itself that it is ready."""
        deadline = time.monotonic() + patience
        while (state := self._trouble()) is not None:
            self.check()
            if time.monotonic() > deadline:
                raise DevstackError(f"The service is not ready after {patience:.0f} s: {state}. {end_of(self._log)}")
            time.sleep(0.05)

    def check(self) -> None:
        """Complain if the service has ended."""
        if self._process is not None and (code := self._process.poll()) is not None:
            raise DevstackError(f"The service ended by itself with exit code {code}. {end_of(self._log)}")

    def stop(self) -> None:
        """Ask the service to end, and end it with all its workers when it takes too long."""
        if self._process is not None:
            processes.stop(self._process, signal.SIGTERM, PATIENCE)

    def _ask(self, *words: str) -> Told:
        """Run a command to its end, or to ours."""
        process = self._spawn([*words], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        try:
            said, complaint = process.communicate()
        finally:
            processes.stop(process, signal.SIGTERM, PATIENCE)
        return Told(said.decode(errors="replace"), complaint.decode(errors="replace") if process.returncode else "")

    def _spawn(
        self, words: list[str], *, stdout: int | IO[bytes] | None, stderr: int | IO[bytes] | None = None
    ) -> subprocess.Popen[bytes]:
        """Start a command; its errors go into the log."""
        with self._log.open("ab") as log:
            return processes.spawn(
                [*self._command, *words],
                folder=ROOT,
                stdout=stdout,
                stderr=log if stderr is None else stderr,
                environment=os.environ | self._environment,
            )

    def _trouble(self) -> str | None:
        """Tell why the service is not ready, or None."""
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=5)
        try:
            connection.request("GET", "/health/ready")
            answer = connection.getresponse()
            return None if answer.status == HTTPStatus.OK else f"{answer.status} {answer.read()[:500]!r}"
        except (OSError, http.client.HTTPException) as problem:
            return str(problem) or type(problem).__name__
        finally:
            connection.close()
