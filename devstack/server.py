"""The life of a server: started, watched, paused and stopped, as often as wanted on the same port."""

from __future__ import annotations

import os
import pwd
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from devstack import processes
from devstack.folders import end_of, hold, private_folder, release
from devstack.ports import free_port
from devstack.processes import DevstackError

# Seconds, because recovery after a crash, or loading a large file, may take its time.
START_TIMEOUT = 60


class Server:
    """A child process that serves one port of 127.0.0.1, with a folder of its own and a log beside it.

    A subclass defines the command that serves, a ping that fails until the server answers, and the preparation of a
    start.
    """

    name: str
    stop_timeout = 10.0
    death_signal = signal.SIGKILL
    account: pwd.struct_passwd | None = None

    def __init__(self, folder: Path, port: int | None = None) -> None:
        self.folder = self.working_folder = folder.resolve()
        self.log = self.folder.parent / "logs" / f"{self.folder.name}.log"
        self.port = port or free_port()
        self.environment: Mapping[str, str] = os.environ
        self._process: subprocess.Popen[bytes] | None = None
        self._lock: int | None = None

    def start(self) -> None:
        """Start the server and return when it answers; do nothing if it runs already.

        Raises:
            DevstackError: the folder is in use, or the server does not start.
        """
        if self._process is not None:
            return
        private_folder(self.log.parent)
        self._lock = hold(self.folder)
        try:
            self._prepare()
            self._process = self._spawn(self._command())
            self._wait_until_ready()
        except BaseException:
            self.kill()
            raise

    def stop(self) -> None:
        """Stop the server, paused or not, after it has written its data to disk."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """End every process of the server at once, as a crash of the machine would."""
        self._signal(signal.SIGKILL)
        self._end(signal.SIGKILL)

    def pause(self) -> None:
        """Let the server hang: its connections stay open, and it does not answer."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let a paused server go on."""
        self._signal(signal.SIGCONT)

    def check(self) -> None:
        """Raise DevstackError if the server was started and has ended by itself."""
        if self._process is not None and (code := self._process.poll()) is not None:
            raise DevstackError(f"{self.name} has ended by itself with exit code {code}. {end_of(self.log)}")

    def _prepare(self) -> None:
        pass

    def _command(self) -> Sequence[str]:
        raise NotImplementedError

    def _ping(self) -> None:
        raise NotImplementedError

    def _spawn(self, command: Sequence[str]) -> subprocess.Popen[bytes]:
        with self.log.open("ab") as log:
            return processes.spawn(
                command,
                folder=self.working_folder,
                stdout=log,
                environment=self.environment,
                death_signal=self.death_signal,
                account=self.account,
                inherited=() if self._lock is None else (self._lock,),
            )

    def _signal(self, what: signal.Signals) -> None:
        """Send a signal to the process and to its children, which may have sessions of their own."""
        if self._process is None or self._process.poll() is not None:
            return  # its pid may be another program's by now
        children = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children")
        for pid in (self._process.pid, *(map(int, children.read_text().split()) if children.exists() else ())):
            with suppress(ProcessLookupError):
                os.kill(pid, what)

    def _end(self, ask: signal.Signals) -> None:
        if self._process is not None:
            processes.stop(self._process, ask, self.stop_timeout)
            self._process = None
        if self._lock is not None:
            release(self._lock)
            self._lock = None

    def _wait_until_ready(self) -> None:
        deadline = time.monotonic() + START_TIMEOUT
        while True:
            try:
                return self._ping()
            except (OSError, DevstackError) as problem:
                self.check()
                if time.monotonic() > deadline:
                    message = f"{self.name} does not answer after {START_TIMEOUT} s ({problem}). {end_of(self.log)}"
                    raise DevstackError(message) from None
            time.sleep(0.03)
