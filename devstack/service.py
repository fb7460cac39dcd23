"""The service as a child of `make run`: prepared, served, watched, stopped."""

import http.client
import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from pathlib import Path

from devstack import processes
from devstack.folders import end_of
from devstack.processes import DevstackError

ROOT = Path(__file__).parent.parent
# Ten seconds are what the service may take for a graceful stop, two are for the way.
PATIENCE = 12.0


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
        self._process = self._spawn(["migrate"], quiet=False)
        code = self._process.wait()
        if code != 0:
            raise DevstackError(f"The migrations failed with exit code {code}. {end_of(self._log)}")

    def serve(self, workers: int) -> None:
        """Start the service; it writes to its log."""
        self._process = self._spawn(
            ["serve", "--host", "127.0.0.1", "--port", str(self._port), "--workers", str(workers)], quiet=True
        )

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

    def _spawn(self, words: list[str], *, quiet: bool) -> subprocess.Popen[bytes]:
        with self._log.open("ab") as log:
            return processes.spawn(
                [*self._command, *words],
                folder=ROOT,
                stdout=log if quiet else None,
                stderr=log,
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
