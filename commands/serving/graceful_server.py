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

from commands.shared import logs

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM)

_GRACE = 4
"""Seconds that a stop waits for running requests; mail that is being sent may take three more."""

_DRAIN = 0.8
"""Seconds that a connection which was just made has for its request once the listening socket is closed."""

_BACKLOG = 2048


class _Server(uvicorn.Server):
    """A server that stops in order: no new connections, then the requests of all connections, then the end."""

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop; uvicorn alone would cut off a connection that was just made and is about to send its request."""
        # Tells a client that keeps its connection open that the next request needs another one.
        self.server_state.default_headers.append((b"connection", b"close"))
        for server in self.servers:
            server.close()
        await asyncio.sleep(_DRAIN)
        await super().shutdown(sockets)


def load_service() -> None:
    """Load all code at once; the garbage collector skips it as long as the process lives."""
    gc.disable()
    import_from_string("application:create_app")
    gc.freeze()
    gc.enable()


def _listen(host: str, port: int) -> socket.socket:
    """Return a listening socket of this process alone: on a shared one, a burst lands on a single worker."""
    listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    listener.bind((host, port))
    return listener


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
    _Server(config).run(sockets=[_listen(host, port)])


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
