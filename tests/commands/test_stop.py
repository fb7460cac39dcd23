"""How the service stops: whoever was let in is answered."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from devstack.stack import Stack
from tests.support.backstage import backstage_of
from tests.support.people import Walker, somebody
from tests.support.service import ROOT, Service

_REQUEST = b"GET /health/live HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"


@pytest.fixture
def running(stack: Stack, tmp_path: Path) -> Iterator[Service]:
    stack.postgres.create_database("stopping", template="migrated")
    service = Service(stack, "stopping", 250, tmp_path)
    service.start()
    yield service
    service.kill()
    stack.postgres.drop_database("stopping")


@pytest.fixture
def without_worker(stack: Stack, tmp_path: Path) -> Iterator[Service]:
    stack.postgres.create_database("leaving", template="migrated")
    service = Service(stack, "leaving", 251, tmp_path, MAIL_WORKER="false")
    service.start()
    yield service
    service.kill()
    stack.postgres.drop_database("leaving")


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


def test_a_worker_that_stops_leaves_no_mail_behind_that_smtp_has_taken(without_worker: Service, stack: Stack) -> None:
    worker = subprocess.Popen([sys.executable, "main.py", "worker"], cwd=ROOT, env=without_worker.environment)
    try:
        with without_worker.client() as client, backstage_of(without_worker) as backstage:
            walk = Walker(client, stack.mailbox)
            for _ in range(3):
                walk.open_registration(somebody("leaving"))
            worker.send_signal(signal.SIGTERM)
            worker.wait(timeout=10)
            assert backstage.value("SELECT count(*) FROM outbox") == 0
    finally:
        worker.kill()
        worker.wait()
