"""The supervisor of several worker processes, which starts a new one for each that dies."""

from __future__ import annotations

import logging
import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.process import BaseProcess
from types import FrameType

from commands.serving.graceful_server import (
    STOP_SIGNALS,
    exit_on_stop_signals,
    ignore_stop_signals,
    load_service,
    run_server,
)
from commands.shared import logs

log = logging.getLogger(__name__)

_STOP_TIMEOUT = 9.5
"""Seconds after which a worker process is killed; a stop takes at most 10 (service.md, section 9)."""

_START_PERIOD = 15.0
"""Seconds; when all workers end within them, they cannot start at all."""

_FORKS = sys.platform == "linux"
"""Whether a worker is a copy of the supervisor: it shares the memory of all code, and starts at once.

Before it forks, the supervisor has loaded the service and nothing else: no thread, no connection, no event loop and
no random number exists twice. On other systems a worker loads the service again: the libraries of macOS cannot fork.
"""


class Supervisor:
    """Keeps N worker processes running."""

    def __init__(self, host: str, port: int, workers: int) -> None:
        logs.set_up()
        if _FORKS:
            load_service()
        self._host, self._port = host, port
        self._processes = multiprocessing.get_context("fork") if _FORKS else multiprocessing.get_context("spawn")
        self._stopping = False
        self._deaths = 0
        self._began = time.monotonic()
        for name in STOP_SIGNALS:
            signal.signal(name, self._stop)
        self._workers = [self._start_worker() for _ in range(workers)]

    def _start_worker(self) -> BaseProcess:
        process = self._processes.Process(target=_run_worker, args=(self._host, self._port, os.getpid()))
        with _stop_signals_blocked():
            process.start()
        return process

    def _stop(self, _signal: int, _frame: FrameType | None) -> None:
        self._stopping = True

    def run(self) -> None:
        """Replace dead workers until the process is stopped."""
        while not self._stopping:
            time.sleep(0.2)
            for place, process in enumerate(self._workers):
                if not process.is_alive() and not self._stopping:
                    log.error("worker %s ended with %s, starting another", process.pid, process.exitcode)
                    self._deaths += 1
                    if time.monotonic() - self._began < _START_PERIOD and self._deaths >= len(self._workers):
                        # None of them has started; another try would end in the same way.
                        self._stop_workers()
                        sys.exit(1)
                    time.sleep(0.5)
                    self._workers[place] = self._start_worker()
        self._stop_workers()

    def _stop_workers(self) -> None:
        for process in self._workers:
            process.terminate()
        deadline = time.monotonic() + _STOP_TIMEOUT
        for process in self._workers:
            process.join(max(0, deadline - time.monotonic()))
            if process.is_alive():
                process.kill()
        ignore_stop_signals()


@contextmanager
def _stop_signals_blocked() -> Iterator[None]:
    """Delay a stop, for the supervisor and for the process that it starts in the block."""
    signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, STOP_SIGNALS)


def _run_worker(host: str, port: int, supervisor: int) -> None:
    def follow_supervisor() -> None:
        # A supervisor that is killed cannot stop its workers; they stop themselves.
        while os.getppid() == supervisor:
            time.sleep(0.2)
        os.kill(os.getpid(), signal.SIGTERM)

    # Signals are blocked until here: a forked worker starts with a copy of the supervisor's handler.
    exit_on_stop_signals()
    signal.pthread_sigmask(signal.SIG_UNBLOCK, STOP_SIGNALS)
    threading.Thread(target=follow_supervisor, daemon=True).start()
    run_server(host, port)
