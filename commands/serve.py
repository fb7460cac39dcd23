"""``python main.py serve``: answer requests."""

from __future__ import annotations

import asyncio
import gc
import logging
import multiprocessing
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.process import BaseProcess
from types import FrameType

import click
import uvicorn
from uvicorn.importer import import_from_string

from commands import logs
from commands.listener import hear_out, listen, stop_accepting
from config import load_settings

log = logging.getLogger(__name__)

_GRACE = 4
"""Seconds that requests in hand are waited for; mail in hand may take three more."""

_WHOLE_STOP = 9.5
"""Seconds after which a worker process is ended by force; a stop takes at most 10 (design.md, section 9)."""

_LAST_CALL = 0.8
"""Seconds between the last connection that is let in and the end of those that have asked for nothing."""

_ROUNDS = 40
"""Looks for somebody who was connected at the last moment, in that time."""

_BACKLOG = 2048

_TRIAL = 15.0
"""Seconds within which workers that all end were never well."""

_FORKS = sys.platform == "linux"
"""Whether a worker is a copy of the supervisor: it shares the memory of all code, and is there at once.

The supervisor has loaded the service by then, and nothing else: no thread, no connection, no event loop, no random
number is there twice. Elsewhere a worker loads the service anew, for the libraries of macOS bear no fork.
"""

_STOPS = (signal.SIGINT, signal.SIGTERM)


class _Server(uvicorn.Server):
    """A server that takes leave in order: nobody new, then everybody who has connected, then the socket is closed."""

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop; a connection that has sent nothing yet would be cut, and whoever has just connected is about to."""
        # Whoever keeps his connection for the next request is told with this answer that there will be none.
        self.server_state.default_headers.append((b"connection", b"close"))
        if all(stop_accepting(listener) for listener in sockets or ()):
            for _ in range(_ROUNDS):
                await asyncio.sleep(_LAST_CALL / _ROUNDS)
                for connection in self.server_state.connections:
                    if not connection.transport.is_closing():
                        hear_out(connection.transport.get_extra_info("socket"))
        await super().shutdown(sockets)


def _refuse_taken(host: str, port: int) -> None:
    """SO_REUSEPORT would let us share a port with a stranger; find that out while it can be said.

    Raises:
        click.ClickException: the port is taken.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise click.ClickException(
                f"Cannot serve on {host}:{port}: {error.strerror}. Choose another one: PORT, or serve --port."
            ) from error


def _load_service() -> None:
    """Load all code at once; the garbage collector passes it over, now and for as long as the process lives."""
    gc.disable()
    import_from_string("application:create_app")
    gc.freeze()
    gc.enable()


def _serve_here(host: str, port: int) -> None:
    logs.set_up()
    _load_service()
    settings = uvicorn.Config(
        "application:app",
        log_config=None,
        access_log=False,
        # Whose word about the client address is taken is TRUSTED_PROXIES' matter, see application.py.
        proxy_headers=False,
        server_header=False,
        timeout_graceful_shutdown=_GRACE,
        timeout_keep_alive=15,
        backlog=_BACKLOG,
        lifespan="on",
    )
    _Server(settings).run(sockets=[listen(host, port)])


def _leave_when_told() -> None:
    # The server stops by itself and then raises the signal once more: a stop that was asked for is no failure.
    for name in _STOPS:
        signal.signal(name, _leave)


def _leave(_signal: int, _frame: FrameType | None) -> None:
    # Asked once more while the interpreter is taken down, the process would die of it.
    for name in _STOPS:
        signal.signal(name, signal.SIG_IGN)
    sys.exit(0)


def _serve_as_child(host: str, port: int, supervisor: int) -> None:
    def follow_supervisor() -> None:
        # A supervisor that is killed cannot stop its workers; they stop themselves.
        while os.getppid() == supervisor:
            time.sleep(0.2)
        os.kill(os.getpid(), signal.SIGTERM)

    # Until here a stop waits, or it would be told to the supervisor's handler, which a forked worker has a copy of.
    _leave_when_told()
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _STOPS)
    threading.Thread(target=follow_supervisor, daemon=True).start()
    _serve_here(host, port)


@contextmanager
def _stops_put_off() -> Iterator[None]:
    """Keep a stop waiting, for us and for the process that is started meanwhile."""
    signal.pthread_sigmask(signal.SIG_BLOCK, _STOPS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _STOPS)


class _Supervisor:
    """Keeps N worker processes running, and starts a new one for each that dies."""

    def __init__(self, host: str, port: int, workers: int) -> None:
        self._host, self._port = host, port
        self._processes = multiprocessing.get_context("fork") if _FORKS else multiprocessing.get_context("spawn")
        self._stopping = False
        self._deaths = 0
        self._began = time.monotonic()
        for name in _STOPS:
            signal.signal(name, self._stop)
        self._workers = [self._start() for _ in range(workers)]

    def _start(self) -> BaseProcess:
        process = self._processes.Process(target=_serve_as_child, args=(self._host, self._port, os.getpid()))
        with _stops_put_off():
            process.start()
        return process

    def _stop(self, _signal: int, _frame: FrameType | None) -> None:
        self._stopping = True

    def run(self) -> None:
        while not self._stopping:
            time.sleep(0.2)
            for place, process in enumerate(self._workers):
                if not process.is_alive() and not self._stopping:
                    log.error("worker %s ended with %s, starting another", process.pid, process.exitcode)
                    self._deaths += 1
                    if time.monotonic() - self._began < _TRIAL and self._deaths >= len(self._workers):
                        # None of them came up: starting them again would only say the same again.
                        self._end()
                        sys.exit(1)
                    time.sleep(0.5)
                    self._workers[place] = self._start()
        self._end()

    def _end(self) -> None:
        for process in self._workers:
            process.terminate()
        deadline = time.monotonic() + _WHOLE_STOP
        for process in self._workers:
            process.join(max(0, deadline - time.monotonic()))
            if process.is_alive():
                process.kill()
        for name in _STOPS:
            signal.signal(name, signal.SIG_IGN)


@click.command()
@click.option("--host", help="Address to serve on; HOST when not given.")
@click.option("--port", type=int, help="Port to serve on; PORT when not given.")
@click.option("--workers", type=click.IntRange(1, 64), default=1, show_default=True, help="Processes that serve.")
def serve(host: str | None, port: int | None, workers: int) -> None:
    """Answer requests until stopped."""
    _leave_when_told()
    settings = load_settings()
    host, port = host or settings.host, settings.port if port is None else port
    _refuse_taken(host, port)
    if workers == 1:
        _serve_here(host, port)
        return
    logs.set_up()
    if _FORKS:
        _load_service()
    _Supervisor(host, port, workers).run()
