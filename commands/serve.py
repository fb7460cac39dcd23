"""``python main.py serve``: answer requests."""

from __future__ import annotations

import socket

import click

from commands.serving.graceful_server import exit_on_stop_signals, run_server
from commands.serving.supervisor import Supervisor
from config import load_settings


@click.command()
@click.option("--host", help="Address to serve on; HOST when not given.")
@click.option("--port", type=int, help="Port to serve on; PORT when not given.")
@click.option("--workers", type=click.IntRange(1, 64), default=1, show_default=True, help="Processes that serve.")
def serve(host: str | None, port: int | None, workers: int) -> None:
    """Answer requests until stopped."""
    exit_on_stop_signals()
    settings = load_settings()
    host, port = host or settings.host, settings.port if port is None else port
    _ensure_free(host, port)
    if workers == 1:
        run_server(host, port)
    else:
        Supervisor(host, port, workers).run()


def _ensure_free(host: str, port: int) -> None:
    """Refuse a port that another program serves on: with SO_REUSEPORT, the two would share it without an error.

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
                f"Cannot serve on {host}:{port}: {error.strerror}. Choose another port: PORT, or serve --port."
            ) from error
