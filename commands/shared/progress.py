"""The progress of a long command: a bar at a terminal, a line every few seconds in a log."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import Any, Self

import click

_EVERY = 5.0
"""Seconds between two lines in a log."""


class Progress:
    """Shows progress on standard error."""

    def __init__(self, label: str, total: int | None) -> None:
        """Show no bar without a total: the length of a pipe is not known."""
        self._label = label
        at_terminal = sys.stderr.isatty()
        self._bar: Any = None
        if at_terminal and total:
            self._bar = click.progressbar(
                length=total,
                label=label,
                file=sys.stderr,
                item_show_func=lambda summary: summary or "",
                update_min_steps=max(1, total // 1000),
            )
        self._printed_at = time.monotonic()

    def __enter__(self) -> Self:
        """Show the bar."""
        if self._bar:
            self._bar.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Leave the line of the bar."""
        if self._bar:
            self._bar.__exit__(kind, problem, trace)

    def advance(self, amount: int, summary: str) -> None:
        """Add to the progress, and show what it amounts to in words."""
        if self._bar:
            self._bar.update(amount, summary)
        elif time.monotonic() - self._printed_at >= _EVERY:
            self._printed_at = time.monotonic()
            click.echo(f"{self._label}: {summary}", err=True)

    def print_line(self, line: str) -> None:
        """Print a line above the bar."""
        click.echo(f"\r\033[K{line}" if self._bar else line, err=True)
