"""How the service stops: every request of a connection that was accepted is answered."""

from __future__ import annotations

import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from devstack.stack import Stack
from tests.support.service.process import ROOT, Service
from tests.support.state.database_inspector import inspect_database
from tests.support.users.people import new_person

_REQUEST = b"GET /health/live HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"


@pytest.fixture
def running(unstarted: Service) -> Service:
    unstarted.start(new_interpreter=True)
    return unstarted


@pytest.fixture
def without_worker(new_service: Callable[..., Service]) -> Service:
    service = new_service(MAIL_WORKER="false")
    service.start(new_interpreter=True)
    return service


def _call_on(port: int, outcomes: Counter[str], over: threading.Event) -> None:
    """Call again and again over one connection, as a proxy does that keeps some."""
    with socket.create_connection(("127.0.0.1", port), timeout=8) as line, line.makefile("rb") as answers:
        while not over.wait(0.005):
            try:
                line.sendall(b"GET /health/live HTTP/1.1\r\nHost: a\r\n\r\n")
                status = answers.readline()
                headers = list(iter(answers.readline, b"\r\n"))
                length = next(
                    int(header.partition(b":")[2]) for header in headers if header.startswith(b"content-length")
                )
                answers.read(length)
            except (OSError, StopIteration):
                status = b""
            outcomes["answered" if b"200 OK" in status else "lost"] += 1
            if not status:
                return
            if b"connection: close\r\n" in headers:
                outcomes["told to leave"] += 1
                return


def test_fault_17_a_connection_made_just_before_the_stop_still_gets_its_answer(running: Service) -> None:
    with socket.create_connection(("127.0.0.1", running.port), timeout=8) as line:
        time.sleep(0.1)  # the process has accepted it
        stop = threading.Thread(target=running.stop)
        stop.start()
        time.sleep(0.4)
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", running.port), timeout=1)
        line.sendall(_REQUEST)
        received = b"".join(iter(lambda: line.recv(4096), b""))
        stop.join()
    assert received.startswith(b"HTTP/1.1 200 "), received


def test_who_keeps_a_connection_is_told_with_the_last_answer_that_it_is_the_last(running: Service) -> None:
    outcomes: Counter[str] = Counter()
    over = threading.Event()
    callers = [threading.Thread(target=_call_on, args=(running.port, outcomes, over)) for _ in range(12)]
    for caller in callers:
        caller.start()
    time.sleep(0.5)
    assert running.stop() == 0
    over.set()
    for caller in callers:
        caller.join()
    assert not outcomes["lost"], outcomes
    assert outcomes["told to leave"] == 12


def test_a_request_that_does_not_come_to_its_end_is_told_to_try_again(running: Service) -> None:
    with socket.create_connection(("127.0.0.1", running.port), timeout=12) as line:
        line.sendall(
            b"POST /register HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: 99\r\n\r\n{"
        )
        time.sleep(0.2)
        assert running.stop() == 0
        received = b"".join(iter(lambda: line.recv(4096), b""))
    assert received.startswith(b"HTTP/1.1 503 "), received
    assert b"application/problem+json" in received
    assert "Traceback" not in running.log()


def _hears_a_stop(process: subprocess.Popen[bytes]) -> bool:
    """Whether SIGTERM has a handler; before, it is Python on its way up that is stopped."""
    caught = re.search(r"SigCgt:\s*([0-9a-f]+)", Path(f"/proc/{process.pid}/status").read_text())
    return caught is not None and bool(int(caught[1], 16) >> (signal.SIGTERM - 1) & 1)


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("after", [0, 0.3, 0.8])
def test_a_stop_is_in_order_however_early_it_comes_and_however_often(
    workers: int, after: float, new_service: Callable[..., Service]
) -> None:
    service = new_service(workers=workers)
    command = [sys.executable, "main.py", "serve", "--port", str(service.port), "--workers", str(workers)]
    process = subprocess.Popen(command, cwd=ROOT, env=service.environment)
    try:
        while process.poll() is None and not _hears_a_stop(process):
            time.sleep(0.01)
        time.sleep(after)
        deadline = time.monotonic() + 12
        while process.poll() is None and time.monotonic() < deadline:
            process.send_signal(signal.SIGTERM)
            time.sleep(0.02)
        assert process.poll() == 0
    finally:
        process.kill()
        process.wait()


def test_a_worker_that_stops_leaves_no_mail_behind_that_smtp_has_taken(without_worker: Service, stack: Stack) -> None:
    worker = subprocess.Popen([sys.executable, "main.py", "worker"], cwd=ROOT, env=without_worker.environment)
    try:
        with without_worker.walker() as walk, inspect_database(without_worker) as db:
            for _ in range(3):
                walk.open_registration(new_person("leaving"))
            worker.send_signal(signal.SIGTERM)
            worker.wait(timeout=10)
            assert db.value("SELECT count(*) FROM outbox") == 0
    finally:
        worker.kill()
        worker.wait()
