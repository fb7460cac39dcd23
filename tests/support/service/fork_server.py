"""Starts commands of the service as copies of one process that has loaded the code, as `serve` starts its workers.

Loading it takes more than a second of processor time, and the tests start the service some two hundred times. A copy
has an environment, a process group, and standard streams of its own, and ends as `python main.py` ends. Only the tests
about the start itself pay for a new interpreter.
"""

from __future__ import annotations

import ctypes
import gc
import importlib
import json
import os
import select
import selectors
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import IO, Any
from unittest import mock

from jinja2 import Environment

from commands.cli import cli
from devstack.processes import spawn
from template_message.render import MailTemplates

_ROOT = Path(__file__).parents[3]
_PRELOADED = (
    *("application", "commands.serve", "fastapi_swagger", "httptools", "uvloop"),
    *("uvicorn.lifespan.on", "uvicorn.loops.auto", "uvicorn.protocols.http.auto", "uvicorn.protocols.websockets.auto"),
)
_PR_SET_PDEATHSIG = 1
_REQUEST_SIZE = 131_072
_REPORT_SIZE = 12


class ForkedProcess:
    """A started copy; behaves like `subprocess.Popen` as far as the tests use it."""

    def __init__(self, reports: int) -> None:
        self._reports = os.fdopen(reports, "rb", buffering=0)
        self.returncode: int | None = None
        self.pid = self._read()

    def _read(self) -> int:
        if not (report := self._reports.read(_REPORT_SIZE)):
            raise RuntimeError("the fork server has died, and its copies with it")
        return int(report)

    def poll(self, timeout: float = 0) -> int | None:
        """Return the exit code, or None while the process runs."""
        if self.returncode is None and select.select([self._reports], [], [], timeout)[0]:
            self.returncode = self._read()
            self._reports.close()
        return self.returncode

    def wait(self, timeout: float) -> int:
        """Return the exit code once the process has ended.

        Raises:
            subprocess.TimeoutExpired: it still runs.
        """
        if (code := self.poll(timeout)) is None:
            raise subprocess.TimeoutExpired(f"process {self.pid}", timeout)
        return code

    def send_signal(self, number: signal.Signals) -> None:
        """Send the signal to the process itself, not to its group."""
        if self.poll() is None:
            os.kill(self.pid, number)


class _ForkServer:
    """The process that has loaded the code, seen from the tests."""

    def __init__(self) -> None:
        self._asking, answering = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._turn = threading.Lock()
        with answering:
            # The launcher of devstack passes on the standard streams alone.
            self._process = spawn(
                [sys.executable, "-m", "tests.support.service.fork_server"],
                folder=_ROOT,
                stdout=answering.fileno(),
                stderr=None,
            )

    def start(
        self, arguments: Sequence[str], environment: Mapping[str, str], stdout: IO[bytes], stderr: IO[bytes]
    ) -> ForkedProcess:
        request = json.dumps({"arguments": arguments, "environment": dict(environment)}).encode()
        reports, reporting = os.pipe()
        try:
            with self._turn:
                socket.send_fds(self._asking, [request], [stdout.fileno(), stderr.fileno(), reporting])
        finally:
            os.close(reporting)
        return ForkedProcess(reports)


@cache
def _server() -> _ForkServer:
    return _ForkServer()


def fork_command(
    arguments: Sequence[str], environment: Mapping[str, str], stdout: IO[bytes], stderr: IO[bytes] | None = None
) -> ForkedProcess:
    """Start ``python main.py ARGUMENTS`` as a copy of a loaded process; what it writes goes to the files."""
    return _server().start(arguments, environment, stdout, stderr or stdout)


def _report(reporting: int, number: int) -> None:
    os.write(reporting, f"{number:{_REPORT_SIZE}}".encode())


def _serve_until_copied(asking: socket.socket) -> list[str] | None:
    """Start copies until the tests are over; in a copy, return its arguments."""
    waiting: dict[int, tuple[int, int]] = {}
    selector = selectors.DefaultSelector()
    selector.register(asking, selectors.EVENT_READ)
    while True:
        for key, _ in selector.select():
            if key.fileobj is not asking:
                pid, reporting = waiting.pop(key.fd)
                selector.unregister(key.fd)
                _report(reporting, os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
                os.close(key.fd)
                os.close(reporting)
                continue
            request, (*files,), _, _ = socket.recv_fds(asking, _REQUEST_SIZE, 3)
            if not request:
                return None
            stdout, stderr, reporting = files
            if (pid := os.fork()) == 0:
                # Left to the garbage collector, it would close a file of the command that has its number by then.
                selector.close()
                return _become(json.loads(request), stdout, stderr, reporting)
            os.close(stdout)
            os.close(stderr)
            # Closed when the copy has been collected, so that its number cannot be given to another process before.
            pidfd = os.pidfd_open(pid)
            waiting[pidfd] = pid, reporting
            selector.register(pidfd, selectors.EVENT_READ)


def _become(request: dict[str, Any], stdout: int, stderr: int, reporting: int) -> list[str]:
    """Turn this copy into a process of its own, with nothing of the server's."""
    os.setsid()
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    os.environ.clear()
    os.environ.update(request["environment"])
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(stdout, 1)
    os.dup2(stderr, 2)
    _report(reporting, os.getpid())
    os.closerange(3, 1024)
    arguments: list[str] = request["arguments"]
    return arguments


@contextmanager
def _templates_compiled_once() -> Iterator[None]:
    """Keep the code of the mail templates for all copies: compiling it is half of what is left of a start."""
    compiled: dict[tuple[object, ...], Any] = {}
    compiling: Any = Environment.compile

    def compile_once(self: Environment, *source: object, **options: object) -> Any:
        key = (*source, *sorted(options.items()))
        if key not in compiled:
            compiled[key] = compiling(self, *source, **options)
        return compiled[key]

    with mock.patch.object(Environment, "compile", compile_once):
        yield


def _main() -> None:
    asking = socket.socket(fileno=os.dup(1))
    os.dup2(2, 1)
    for module in _PRELOADED:
        importlib.import_module(module)
    with _templates_compiled_once():
        MailTemplates("the fork server")
        gc.collect()
        gc.freeze()
        if (arguments := _serve_until_copied(asking)) is not None:
            sys.argv = ["main.py", *arguments]
            cli()


if __name__ == "__main__":
    _main()
