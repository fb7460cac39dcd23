"""How the service stops: whoever was let in is answered."""

from __future__ import annotations

import socket
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from devstack.stack import Stack
from tests.support.service import Service

_REQUEST = b"GET /health/live HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"


@pytest.fixture
def running(stack: Stack, tmp_path: Path) -> Iterator[Service]:
    stack.postgres.create_database("stopping", template="migrated")
    service = Service(stack, "stopping", 250, tmp_path)
    service.start()
    yield service
    service.kill()
    stack.postgres.drop_database("stopping")


def _ask(port: int) -> str:
    """Call as a proxy does, which must not send a request again once it was connected."""
    try:
        line = socket.create_connection(("127.0.0.1", port), timeout=1)
    except OSError:
        return "not let in"
    with line:
        line.settimeout(8)
        try:
            line.sendall(_REQUEST)
            received = b"".join(iter(lambda: line.recv(4096), b""))
        except OSError:
            return "lost"
    return "answered" if b"200 OK" in received else "lost"


def test_fault_17_of_all_who_were_let_in_nobody_is_cut_off_when_it_stops(running: Service) -> None:
    outcomes: Counter[str] = Counter()
    over = threading.Event()

    def go_on() -> None:
        while not over.wait(0.001):
            outcomes[_ask(running.port)] += 1

    threads = [threading.Thread(target=go_on) for _ in range(12)]
    for thread in threads:
        thread.start()
    time.sleep(0.5)
    assert running.stop() == 0
    over.set()
    for thread in threads:
        thread.join()
    assert outcomes["answered"] > 50
    assert outcomes["not let in"] > 0
    assert not outcomes["lost"], outcomes
