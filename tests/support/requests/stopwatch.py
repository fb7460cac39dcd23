"""Times single requests as finely as a client on the same machine can, one after the other over one connection."""

from __future__ import annotations

import gc
import json
import random
import re
import socket
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from time import perf_counter
from typing import Self

from tests.support.models.auc import Auc, auc
from tests.support.requests.burst import Call
from tests.support.service.process import Service, fresh_address

_LENGTH = re.compile(rb"content-length: *(\d+)", re.IGNORECASE)


class Stopwatch:
    """A kept connection: no client library, no connect and no encoding falls into what is timed."""

    def __init__(self, service: Service) -> None:
        self._port = service.port
        self._connection = self._connect()
        self.last = (0, b"")
        """Status and body of the last answer."""

    def _connect(self) -> socket.socket:
        source = (fresh_address(), 0)
        connection = socket.create_connection(("127.0.0.1", self._port), timeout=20, source_address=source)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return connection

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def reconnect(self) -> None:
        """Call from a fresh connection: an idle one is closed by the service after a while."""
        self._connection.close()
        self._connection = self._connect()

    def time(self, call: Call) -> float:
        """Milliseconds from the first byte sent to the last byte received."""
        path, form = call
        body = json.dumps(form).encode()
        head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        request = f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body
        began = perf_counter()
        self._connection.sendall(request)
        received = self._connection.recv(65_536)
        while _is_cut(received) and (more := self._connection.recv(65_536)):
            received += more
        took = perf_counter() - began
        assert not _is_cut(received), "the service hung up in the middle of an answer"
        head_bytes, _, answer = received.partition(b"\r\n\r\n")
        self.last = int(head_bytes.split(b" ", 2)[1]), answer
        return took * 1000


def _is_cut(received: bytes) -> bool:
    head, end, body = received.partition(b"\r\n\r\n")
    if not end:
        return True
    length = _LENGTH.search(head)
    return length is not None and len(body) < int(length[1])


@contextmanager
def _without_collections() -> Iterator[None]:
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


Timing = Callable[[int], tuple[Sequence[float], Sequence[float]]]
"""Takes a number of pairs and returns the times of both kinds."""


def shuffled(watch: Stopwatch, known: Callable[[int], Call], unknown: Callable[[int], Call], status: int) -> Timing:
    """Time as many calls of one kind as of the other, all in random order; every answer must have the status.

    Shuffled as a whole and not pair by pair: in pairs a call would more often follow one of the other kind than one of
    its own, and whatever that one has left to be done would be taken for its doing.
    """

    def timing(pairs: int) -> tuple[list[float], list[float]]:
        times: tuple[list[float], list[float]] = [], []
        with _without_collections():
            for kind in random.sample((0, 1), 2 * pairs, counts=(pairs, pairs)):
                times[kind].append(watch.time((known, unknown)[kind](len(times[kind]))))
                assert watch.last[0] == status, watch.last
        return times

    return timing


def judged(timing: Timing, pairs: int, low: float = 0.45, high: float = 0.55) -> tuple[Auc, bool]:
    """Whether a clock tells the two kinds apart: twice, the second time over twice the pairs, and that one counts.

    A neighbour who takes the processor away for a moment makes one run unlucky, hardly two.
    """
    seen = auc(*timing(pairs))
    if seen.lies_outside(low, high):
        seen = auc(*timing(2 * pairs))
    return seen, not seen.lies_outside(low, high)
