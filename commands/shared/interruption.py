"""Ctrl-C and SIGTERM for commands that take long: heard at once, but never in the middle of a batch."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class Interrupted(KeyboardInterrupt):
    """Somebody wants the command to end. Of any other kind asyncio would log it, and go on."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.exit_code = 128 + number


class Interruption:
    """Raises `Interrupted` where a signal finds the command, or at the end of what must not be cut in two."""

    def __init__(self) -> None:
        self._held = False
        self._heard = 0

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Hear the signals inside. Once one was heard, whatever ends the block has ended it for that."""
        before = {number: signal.signal(number, self._hear) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        except Exception as error:
            # The signal may find the command inside a library, which takes it for a connection that was lost.
            if self._heard:
                raise Interrupted(self._heard) from error
            raise
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    @contextmanager
    def held(self) -> Iterator[None]:
        """What is inside is finished first."""
        self._held = True
        try:
            yield
        finally:
            self._held = False
        if self._heard:
            raise Interrupted(self._heard)

    def _hear(self, number: int, _frame: FrameType | None) -> None:
        first = not self._heard
        self._heard = number
        if first and not self._held:
            raise Interrupted(number)
