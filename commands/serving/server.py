"""The server of one process: it loads the service, answers requests, and stops without losing one."""

from __future__ import annotations

import asyncio
import gc
import signal
import socket
import sys
from types import FrameType

import uvicorn
from uvicorn.importer import import_from_string

from commands.serving.listener import drain_connection, listen, stop_accepting
from commands.shared import logs

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM)

_GRACE = 4
"""Seconds that a stop waits for running requests; mail that is being sent may take three more."""

_DRAIN = 0.8
"""Seconds between the last connection that is accepted and the end of connections that have sent no request."""

_DRAIN_ROUNDS = 40
"""How often the server looks for late connections in that time."""

_BACKLOG = 2048


class _Server(uvicorn.Server):
    """A server that stops in order: no new connections, then the requests of all connections, then the socket."""

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop; uvicorn alone would cut off a connection that was just made and is about to send its request."""
        # Tells a client that keeps its connection open that the next request needs another one.
        self.server_state.default_headers.append((b"connection", b"close"))
        if all(stop_accepting(listener) for listener in sockets or ()):
            for _ in range(_DRAIN_ROUNDS):
                await asyncio.sleep(_DRAIN / _DRAIN_ROUNDS)
                for connection in self.server_state.connections:
                    if not connection.transport.is_closing():
                        drain_connection(connection.transport.get_extra_info("socket"))
        await super().shutdown(sockets)


def load_service() -> None:
    """Load all code at once; the garbage collector skips it as long as the process lives."""
    gc.disable()
    import_from_string("application:create_app")
    gc.freeze()
    gc.enable()


def run_server(host: str, port: int) -> None:
    """Answer requests until the process is stopped."""
    logs.set_up()
    load_service()
    config = uvicorn.Config(
        "application:app",
        log_config=None,
        access_log=False,
        # TRUSTED_PROXIES decides whose X-Forwarded-For is believed, see application.py.
        proxy_headers=False,
        server_header=False,
        timeout_graceful_shutdown=_GRACE,
        timeout_keep_alive=15,
        backlog=_BACKLOG,
        lifespan="on",
    )
    _Server(config).run(sockets=[listen(host, port)])


def exit_on_stop_signals() -> None:
    """Exit with 0 on SIGINT and SIGTERM: uvicorn stops, then raises the signal again, and that is no failure."""
    for name in STOP_SIGNALS:
        signal.signal(name, _exit)


def ignore_stop_signals() -> None:
    """Ignore SIGINT and SIGTERM: another one would kill the process while the interpreter shuts down."""
    for name in STOP_SIGNALS:
        signal.signal(name, signal.SIG_IGN)


def _exit(_signal: int, _frame: FrameType | None) -> None:
    ignore_stop_signals()
    sys.exit(0)
