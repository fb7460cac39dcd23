"""Ctrl-C and SIGTERM for long commands: they end at once, but never in the middle of a batch."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class Interrupted(KeyboardInterrupt):
    """A signal asks the command to end. A subclass of KeyboardInterrupt, because asyncio logs others and goes on."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.exit_code = 128 + number


class Interruption:
    """Raises `Interrupted` when a signal arrives, or at the end of a block that must not be interrupted."""

    def __init__(self) -> None:
        self._held = False
        self._received = 0

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Handle the signals in the block. After a signal, every exception of the block counts as its result."""
        before = {number: signal.signal(number, self._handle) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        except Exception as error:
            # A signal inside a library may look to that library like a lost connection.
            if self._received:
                raise Interrupted(self._received) from error
            raise
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    @contextmanager
    def held(self) -> Iterator[None]:
        """Finish the block before a signal is raised."""
        self._held = True
        try:
            yield
        finally:
            self._held = False
        self.check()

    def check(self) -> None:
        """Raise `Interrupted` if a signal has arrived: a library may have lost the exception of its handler."""
        if self._received:
            raise Interrupted(self._received)

    def _handle(self, number: int, _frame: FrameType | None) -> None:
        first = not self._received
        self._received = number
        if first and not self._held:
            raise Interrupted(number)
