"""How far a long command is: a bar at a terminal, and a line now and then in a log."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import Any, Self

import click

_EVERY = 5.0
"""Seconds between two lines in a log."""


class Progress:
    """Tells standard error how far a command is."""

    def __init__(self, label: str, total: int | None) -> None:
        """Without a total there is no bar: nobody knows how long a pipe is."""
        self._label = label
        at_terminal = sys.stderr.isatty()
        self._bar: Any = None
        if at_terminal and total:
            self._bar = click.progressbar(
                length=total,
                label=label,
                file=sys.stderr,
                item_show_func=lambda so_far: so_far or "",
                update_min_steps=max(1, total // 1000),
            )
        self._told = time.monotonic()

    def __enter__(self) -> Self:
        """Show that it begins."""
        if self._bar:
            self._bar.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Leave the line of the bar."""
        if self._bar:
            self._bar.__exit__(kind, problem, trace)

    def advance(self, amount: int, so_far: str) -> None:
        """Tell that there is so much more, and what that comes to in words."""
        if self._bar:
            self._bar.update(amount, so_far)
        elif time.monotonic() - self._told >= _EVERY:
            self._told = time.monotonic()
            click.echo(f"{self._label}: {so_far}", err=True)

    def say(self, line: str) -> None:
        """A line of its own, above the bar."""
        click.echo(f"\r\033[K{line}" if self._bar else line, err=True)
