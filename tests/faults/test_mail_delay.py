"""Mail is with the SMTP server within a second of its start, after a restart too, and soon after a worker's death."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from devstack.mailbox import Mailbox
from devstack.stack import Stack
from tests.faults.conftest import BehindProxies
from tests.support.servers.proxy import Proxy
from tests.support.service.process import Service
from tests.support.users.people import Person, Walker, new_person

CALLERS = 4
END_OF_MAIL = b"\r\n.\r\n"


@pytest.fixture(scope="module")
def smtp(fragile: Stack) -> Iterator[Proxy]:
    with Proxy(fragile.mailbox.port) as proxy:
        yield proxy


@pytest.fixture(scope="module")
def service(behind_proxies: BehindProxies, smtp: Proxy) -> Iterator[Service]:
    with behind_proxies(smtp=smtp, workers=2) as running:
        yield running


@pytest.fixture
def walk(service: Service) -> Iterator[Walker]:
    service.wait_until_ready()
    with service.walker() as walk:
        yield walk


@pytest.fixture(scope="session")
def starts(*, full_counts: bool) -> int:
    return 200 if full_counts else 60


def _delay_of(service: Service, mailbox: Mailbox, person: Person) -> float:
    """The seconds from sending a start to the moment at which the SMTP server had its mail."""
    with service.client() as client:
        sent_at = time.time()
        walk = Walker(client, mailbox)
        answer = walk.post("/register", email=person.email, login=person.login, password=person.password)
        assert answer.status_code == 202, answer.text
        return mailbox.wait_for(person.email).received_at.timestamp() - sent_at


def _p95(service: Service, mailbox: Mailbox, starts: int) -> float:
    with ThreadPoolExecutor(CALLERS) as callers:
        people = [new_person("quick") for _ in range(starts)]
        delays = sorted(callers.map(lambda person: _delay_of(service, mailbox, person), people))
    return delays[int(0.95 * len(delays))]


def test_mail_is_with_smtp_within_a_second_of_its_start(service: Service, mailbox: Mailbox, starts: int) -> None:
    assert _p95(service, mailbox, starts) <= 1


def test_mail_is_as_quick_after_a_restart_of_postgresql(
    fragile: Stack, service: Service, mailbox: Mailbox, starts: int
) -> None:
    fragile.postgres.stop("immediate")
    fragile.postgres.start()
    service.wait_until_ready()
    assert _p95(service, mailbox, starts) <= 1


def test_mail_in_the_hand_of_a_worker_that_dies_arrives_within_ten_seconds(
    service: Service, walk: Walker, smtp: Proxy, mailbox: Mailbox
) -> None:
    bob = new_person("bob")
    hold = smtp.hold(bob.email.encode(), END_OF_MAIL)
    opened = walk.post("/register", email=bob.email, login=bob.login, password=bob.password)
    assert opened.status_code == 202
    hold.wait()
    holder = _process_at(hold.client_port, service.pid)
    os.kill(holder, signal.SIGKILL)
    killed_at = time.time()
    hold.let_go(forward=False)
    mail = mailbox.wait_for(bob.email)
    assert mail.received_at.timestamp() - killed_at <= 10
    assert mail.code is not None
    assert walk.confirm("register", opened.json()["session_key"], mail.code).status_code == 201


def _process_at(port: int, supervisor: int) -> int:
    """The worker process of the service whose connection leaves from the port."""
    lines = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    inodes = {f"socket:[{line[9]}]" for line in lines if int(line[1].partition(":")[2], 16) == port}
    children = Path(f"/proc/{supervisor}/task/{supervisor}/children").read_text().split()
    for child in children:
        if any(str(descriptor.readlink()) in inodes for descriptor in Path(f"/proc/{child}/fd").iterdir()):
            return int(child)
    raise AssertionError(f"no worker of {supervisor} has a connection from port {port}")
