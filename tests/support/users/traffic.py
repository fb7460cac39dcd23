"""Honest callers who never stop, and remember what each of them was answered, and when."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Self

import httpx

SendOne = Callable[[], httpx.Response]


@dataclass(frozen=True, slots=True)
class Call:
    """What came of one request."""

    sent: float
    answered: float
    method: str
    status: int
    """0 for none at all."""
    content_type: str
    body: str


class Traffic:
    """Several callers at once, each with a short rest between two requests."""

    def __init__(self, callers: list[SendOne], rest: float = 0.05) -> None:
        self.calls: list[Call] = []
        self.callers = callers
        self._rest = rest
        self._over = threading.Event()
        self._threads = [threading.Thread(target=self._go_on, args=(caller,), daemon=True) for caller in callers]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, _type: type[BaseException] | None, _error: BaseException | None, _: TracebackType | None
    ) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join(30)

    def _go_on(self, caller: SendOne) -> None:
        while not self._over.wait(self._rest):
            sent = time.monotonic()
            try:
                answer = caller()
            except httpx.TransportError as error:
                self.calls.append(Call(sent, time.monotonic(), error.request.method, 0, "", repr(error)))
                continue
            kind = answer.headers.get("Content-Type", "")
            method = answer.request.method
            self.calls.append(Call(sent, time.monotonic(), method, answer.status_code, kind, answer.text[:200]))

    @property
    def failures(self) -> list[Call]:
        """The calls that got no answer, or one that says that the service is not there."""
        return [call for call in self.calls if not 200 <= call.status < 500]
