"""A listening socket that is about to be closed lets nobody new in, and loses nobody who was on his way."""

from __future__ import annotations

import select
import socket
from collections.abc import Iterator

import pytest

from commands.serving.listener import drain_connection, listen, stop_accepting


@pytest.fixture(params=["127.0.0.1", "::1", "::"])
def listener(request: pytest.FixtureRequest) -> Iterator[socket.socket]:
    with listen(request.param, 0) as listening:
        listening.settimeout(5)
        yield listening


@pytest.fixture
def address(listener: socket.socket) -> tuple[str, int]:
    """Where it is called; the one for all addresses is called by IPv4."""
    host, port = listener.getsockname()[:2]
    return ("127.0.0.1" if host == "::" else host), port


def _is_heard(listening: socket.socket) -> bool:
    return bool(select.select([listening], [], [], 0.3)[0])


def test_who_has_connected_is_served_and_nobody_connects_any_more(
    listener: socket.socket, address: tuple[str, int]
) -> None:
    listener.listen()
    with socket.create_connection(address) as early:
        assert stop_accepting(listener)
        with pytest.raises(TimeoutError):
            socket.create_connection(address, timeout=0.3)
        served, _ = listener.accept()
        with served:
            early.sendall(b"hello")
            assert served.recv(5) == b"hello"
        assert not _is_heard(listener)


def test_who_completes_a_connection_afterwards_is_let_in_and_heard_out(
    listener: socket.socket, address: tuple[str, int]
) -> None:
    # Whatever completes a connection is passed over until the caller has said something.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_DEFER_ACCEPT, 5)
    listener.listen()
    with socket.create_connection(address) as late:
        stop_accepting(listener)
        late.sendall(b"one ")
        served, _ = listener.accept()
        with served:
            assert served.recv(4) == b"one "
            late.sendall(b"two")
            assert not _is_heard(served)
            drain_connection(served)
            served.settimeout(5)
            assert served.recv(3) == b"two"
