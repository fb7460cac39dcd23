"""threats.md, rows 57 and 58, and faults 16 and 17, with a real nginx before two real app processes."""

from __future__ import annotations

import contextlib
import socket
import statistics
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack

import httpx
import pytest

from tests.support.servers.name_server import NameServer
from tests.support.servers.nginx import Nginx, statuses
from tests.support.service.copies import Copies
from tests.support.service.process import fresh_address
from tests.support.service.slow_limits import a_recovery
from tests.support.state.eventually import eventually
from tests.support.users.traffic import SendOne, Traffic

pytestmark = pytest.mark.system


# Row 57: who is slow.


def _dripping(nginx: Nginx, number: int) -> Iterator[socket.socket]:
    """Sockets that have begun a request, or a handshake, and go on byte by byte."""
    for place in range(number):
        port = nginx.https if place % 5 == 0 else nginx.local
        line = socket.create_connection(("127.0.0.1", port), 5, (fresh_address(), 0))
        line.sendall(b"\x16" if port == nginx.https else b"POST /login HTTP/1.1\r\nHost: a\r\nX-Slow: ")
        yield line


def test_row_57_who_sends_a_byte_a_second_is_hung_up_on_and_delays_nobody(nginx: Nginx) -> None:
    with nginx.client(nginx.local) as client:
        calm = [client.get("/health/live").elapsed.total_seconds() for _ in range(20)]
    began = time.monotonic()
    lines = list(_dripping(nginx, 50))
    open_lines = set(lines)
    meanwhile: list[float] = []
    try:
        with nginx.client(nginx.local) as client:
            while open_lines and time.monotonic() - began < 12:
                for line in list(open_lines):
                    with contextlib.suppress(BlockingIOError):
                        line.setblocking(False)
                        try:
                            line.send(b"x")
                            if not line.recv(1000):
                                open_lines.discard(line)
                        except (ConnectionError, BrokenPipeError):
                            open_lines.discard(line)
                meanwhile += [client.get("/health/live").elapsed.total_seconds() for _ in range(5)]
                time.sleep(0.7)
    finally:
        for line in lines:
            line.close()
    assert not open_lines
    assert time.monotonic() - began < 10
    # Medians, and generously: other programs run on this machine, too.
    assert statistics.median(meanwhile) < statistics.median(calm) * 3 + 0.05


def test_row_57_nobody_holds_more_than_twenty_requests_at_once(nginx: Nginx) -> None:
    # A body that is waited for makes a request that is under way.
    address = fresh_address()
    begun = b"POST /login HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n"
    with ExitStack() as stack:
        lines = [
            stack.enter_context(socket.create_connection(("127.0.0.1", nginx.local), 9, (address, 0)))
            for _ in range(25)
        ]
        for line in lines:
            line.sendall(begun)
        # Five are told at once that they are too many; the others are hung up on when they send nothing more.
        received = [line.recv(1000) for line in lines]
    assert Counter(status for answer in received for status in statuses(answer)) == {429: 5}


# Row 58: one request that is taken for two.

_HEAD = "POST /login HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
_HIDDEN = "GET /health/live HTTP/1.1\r\nHost: localhost\r\nX-Hidden: x"
_SMUGGLED = {
    "length and chunks": f"{_HEAD}Content-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n{_HIDDEN}\r\n\r\n",
    "two lengths": f"{_HEAD}Content-Length: 0\r\nContent-Length: 60\r\n\r\n{_HIDDEN}\r\n\r\n",
    "two lengths in one": f"{_HEAD}Content-Length: 0, 60\r\n\r\n{_HIDDEN}\r\n\r\n",
    "signed length": f"{_HEAD}Content-Length: +0\r\n\r\n{_HIDDEN}\r\n\r\n",
    "two encodings": f"{_HEAD}Transfer-Encoding: chunked\r\nTransfer-Encoding: x\r\n\r\n0\r\n\r\n{_HIDDEN}\r\n\r\n",
    "unknown encoding": f"{_HEAD}Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n{_HIDDEN}\r\n\r\n",
    "chunked and another": f"{_HEAD}Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n{_HIDDEN}\r\n\r\n",
    "vertical tab": f"{_HEAD}Transfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n{_HIDDEN}\r\n\r\n",
    "space before colon": f"{_HEAD}Content-Length : 0\r\n\r\n{_HIDDEN}\r\n\r\n",
    "no chunk size": f"{_HEAD}Transfer-Encoding: chunked\r\n\r\nzz\r\n{_HIDDEN}\r\n\r\n",
    "NUL in a header": f"{_HEAD}X: a\x00b\r\nContent-Length: 0\r\n\r\n{_HIDDEN}\r\n\r\n",
}


@pytest.mark.parametrize("kind", _SMUGGLED)
def test_row_58_what_could_be_read_as_two_requests_is_refused_and_the_line_is_cut(kind: str, nginx: Nginx) -> None:
    received = nginx.raw(_SMUGGLED[kind].encode("latin1"))
    assert statuses(received) in ([400], [501]), received
    with nginx.client(nginx.local) as client:
        assert client.get("/health/live").json()["status"] == "ok"


@pytest.mark.parametrize("kind", ["header", "chunk"])
def test_row_58_bare_line_feeds_make_no_second_request_either(kind: str, nginx: Nginx) -> None:
    # nginx takes a bare LF for a line's end, as RFC 9112, section 2.2 allows, and writes all lines anew for the app.
    address = fresh_address()
    if kind == "header":
        request = "POST /nowhere HTTP/1.1\nHost: a\nContent-Length: 2\nConnection: close\n\n{}"
    else:
        request = (
            "POST /nowhere HTTP/1.1\r\nHost: a\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n2\n{}\n0\n\n"
        )
    received = nginx.raw(request.encode(), address=address)
    assert len(statuses(received)) == 1
    assert len(nginx.lines(f'"client":"{address}"', 1)) == 1


# Fault 16 and fault 17: a copy that goes.


def _callers(nginx: Nginx, stack: ExitStack) -> list[SendOne]:
    """Four who read and four who write, each from an address that no limit is met from."""

    def reader(client: httpx.Client) -> SendOne:
        return lambda: client.get("/.well-known/jwks.json")

    def writer(_: int) -> SendOne:
        # A recovery is written down each time; an address of its own each, since thirty an hour are allowed to one.
        def write() -> httpx.Response:
            with nginx.client(nginx.local) as client:
                return client.post("/recover", json=a_recovery()[1])

        return write

    readers = [reader(stack.enter_context(nginx.client(nginx.local))) for _ in range(4)]
    return [*readers, *map(writer, range(4))]


def test_fault_16_of_a_copy_that_is_killed_only_the_requests_in_its_hands_are_lost(
    nginx: Nginx, copies: Copies
) -> None:
    victim = copies.services[1]
    with ExitStack() as stack:
        with Traffic(_callers(nginx, stack), rest=0.06) as traffic:
            time.sleep(1)
            killed = time.monotonic()
            victim.kill()
            dead = time.monotonic()
            time.sleep(1.5)
        victim.start()
    assert len(traffic.calls) > 30
    for call in traffic.failures:
        assert call.sent < dead, call
        assert call.answered > killed, call
        if call.status:
            assert call.status in (502, 503), call
            assert call.content_type == "application/problem+json", call
            # A read is tried again elsewhere; a write may have been done.
            assert call.method == "POST", call
        else:
            # Of an answer that had begun the rest is missing, and nobody can take it for a whole one.
            assert "without sending complete message body" in call.body, call
    assert len(traffic.failures) <= len(traffic.callers)
    assert sum(call.sent > dead for call in traffic.calls) > 10


def test_fault_17_copies_are_restarted_one_by_one_and_no_request_fails(
    nginx: Nginx, copies: Copies, *, full_counts: bool
) -> None:
    with ExitStack() as stack, Traffic(_callers(nginx, stack), rest=0.06) as traffic:
        for turn in range(20 if full_counts else 4):
            copy = copies.services[turn % 2]
            assert copy.stop() == 0
            copy.start()
    assert not traffic.failures, traffic.failures
    assert Counter(call.status for call in traffic.calls).keys() == {200, 202}
    assert len(traffic.calls) > 200


def test_with_no_copy_left_it_is_said_as_problem_details(nginx: Nginx, names: NameServer, copies: Copies) -> None:
    answers: list[httpx.Response] = []
    deadline = time.monotonic() + 15
    with nginx.client(nginx.local) as client:

        def answers_as(*statuses: int) -> bool:
            answers.append(client.get("/health/live"))
            return answers[-1].status_code in statuses

        try:
            # A name is looked up anew after two seconds at the most: nobody there, then nobody of that name.
            for addresses in (["127.1.0.9"], []):
                names.addresses = addresses
                over = time.monotonic() + 2.2
                while time.monotonic() < over or not answers_as(502, 503):
                    assert time.monotonic() < deadline
                    time.sleep(0.1)
        finally:
            names.addresses = copies.addresses
        eventually(lambda: answers_as(200), within=10, look_every=0.2)
    refusals = [answer for answer in answers if answer.status_code != 200]
    assert len(refusals) >= 2
    for answer in refusals:
        assert answer.headers["Content-Type"] == "application/problem+json"
        assert answer.json()["code"] == "unavailable"
        assert answer.headers["Retry-After"] == "5"
