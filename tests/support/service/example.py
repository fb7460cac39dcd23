"""The example service, run as its README says."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from devstack.ports import free_port
from devstack.processes import spawn, stop
from tests.support.service.process import NO_TLS, ROOT


@contextmanager
def running_example(issuer: str, folder: Path) -> Iterator[httpx.Client]:
    """The command of its README."""
    port = free_port()
    log = folder / "example.log"
    with log.open("wb") as terminal:
        process = spawn(
            [sys.executable, "-m", "uvicorn", "examples.reports_service.main:app", "--port", str(port)],
            folder=ROOT,
            stdout=terminal,
            environment={"PATH": os.environ["PATH"], "ISSUER": issuer},
        )
        try:
            with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=15, verify=NO_TLS) as client:
                wait_until_it_answers(client, log)
                yield client
        finally:
            stop(process, signal.SIGTERM, 10)


def wait_until_it_answers(client: httpx.Client, log: Path) -> None:
    deadline = time.monotonic() + 30
    while True:
        try:
            assert client.get("/openapi.json").status_code == 200
        except httpx.TransportError:
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.05)
        else:
            return
