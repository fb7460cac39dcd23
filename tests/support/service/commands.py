"""Commands of the service, run as an operator runs them."""

from __future__ import annotations

import os
import pty
import select
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from tempfile import TemporaryFile

from tests.support.service.fork_server import fork_command
from tests.support.service.process import ROOT, Service

_LONGEST = 120.0
_TERMINAL_TIMEOUT = 30.0


def environment(service: Service, **settings: str) -> dict[str, str]:
    """What the service itself is run with; "" unsets a setting."""
    return {name: value for name, value in (service.environment | settings).items() if value}


def run(service: Service, *command: str, stdin: str | bytes = "", **settings: str) -> subprocess.CompletedProcess[str]:
    """Run a command to its end."""
    if not stdin and sys.platform == "linux":
        return _run_copy(command, environment(service, **settings))
    done = subprocess.run(
        [sys.executable, "main.py", *command],
        cwd=ROOT,
        env=environment(service, **settings),
        input=stdin.encode() if isinstance(stdin, str) else stdin,
        capture_output=True,
        timeout=_LONGEST,
        check=False,
    )
    return subprocess.CompletedProcess(done.args, done.returncode, done.stdout.decode(), done.stderr.decode())


def _run_copy(command: Sequence[str], settings: dict[str, str]) -> subprocess.CompletedProcess[str]:
    with TemporaryFile() as stdout, TemporaryFile() as stderr:
        process = fork_command(command, settings, stdout, stderr)
        try:
            code = process.wait(_LONGEST)
        finally:
            process.send_signal(signal.SIGKILL)
        # The command has moved the position that it shares with us.
        texts = (os.pread(file.fileno(), os.fstat(file.fileno()).st_size, 0).decode() for file in (stdout, stderr))
        return subprocess.CompletedProcess(command, code, *texts)


@contextmanager
def running(service: Service, *command: str, **settings: str) -> Iterator[subprocess.Popen[bytes]]:
    """A command under way, with pipes to all its ends; it is killed when it is not over by itself."""
    with subprocess.Popen(
        [sys.executable, "main.py", *command],
        cwd=ROOT,
        env=environment(service, **settings),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


class Terminal:
    """A command at a terminal of its own, and somebody who types."""

    def __init__(self, service: Service, *command: str, **settings: str) -> None:
        self.seen = ""
        self._pid, self._screen = pty.fork()
        if self._pid == 0:
            os.chdir(ROOT)
            os.execve(sys.executable, [sys.executable, "main.py", *command], environment(service, **settings))

    def read_until(self, text: str) -> None:
        while text not in self.seen:
            assert self._read(), self.seen

    def type(self, line: str) -> None:
        os.write(self._screen, f"{line}\n".encode())

    def end(self) -> int:
        """Read the rest; return the exit code."""
        while self._read():
            pass
        os.close(self._screen)
        return os.waitstatus_to_exitcode(os.waitpid(self._pid, 0)[1])

    def _read(self) -> bool:
        """Read a little; False when the command is over."""
        ready, _, _ = select.select([self._screen], [], [], _TERMINAL_TIMEOUT)
        if not ready:
            os.kill(self._pid, signal.SIGKILL)
            raise TimeoutError(f"the command says nothing more:\n{self.seen}")
        try:
            chunk = os.read(self._screen, 4096)
        except OSError:  # how Linux says that nobody is at the other end any more
            chunk = b""
        self.seen += chunk.decode(errors="replace")
        return bool(chunk)
