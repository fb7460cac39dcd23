"""Worker processes: each is a copy of one that has loaded the service, and yet draws lots of its own."""

from __future__ import annotations

import base64
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from uuid import UUID

import pytest

from tests.support.requests.burst import Call, burst
from tests.support.service.forked_randomness import A_PROCESS, COPIES, drawn_part
from tests.support.service.process import ROOT, Service
from tests.support.state.eventually import eventually
from tests.support.users.people import Walker, new_person

PEOPLE = 24


def test_copies_of_a_process_that_has_drawn_already_draw_nothing_alike() -> None:
    told = subprocess.run(
        [sys.executable, "-m", "tests.support.service.forked_randomness"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    )
    lots = told.stdout.split()
    assert len(set(lots)) == len(lots) == (1 + COPIES) * A_PROCESS


def test_two_workers_never_give_the_same_key_or_id(service: Service, walk: Walker) -> None:
    people = [new_person("two-workers") for _ in range(PEOPLE)]
    starts: list[Call] = [
        ("/register", {"email": person.email, "login": person.login, "password": person.password}) for person in people
    ]
    keys = [answer.json["session_key"] for answer in burst(service, starts)]
    # A key is a flow id and a secret; neither is given twice.
    parts = [base64.urlsafe_b64decode(key) for key in keys]
    assert len({part[:16] for part in parts}) == len({part[16:] for part in parts}) == PEOPLE
    confirms: list[Call] = [
        ("/register/confirm", {"session_key": key, "code": walk.next_code(person.email, 0)})
        for key, person in zip(keys, people, strict=True)
    ]
    ids = [UUID(answer.json["id"]) for answer in burst(service, confirms)]
    assert len({drawn_part(user.int) for user in ids}) == PEOPLE


@pytest.fixture
def two_workers(new_service: Callable[..., Service]) -> Service:
    service = new_service(workers=2)
    service.start(new_interpreter=True)
    return service


def test_a_worker_that_dies_is_replaced_and_a_stop_takes_all_with_it(two_workers: Service) -> None:
    children = _children(two_workers.pid)
    assert len(children) >= 2
    os.kill(children[-1], signal.SIGKILL)
    two_workers.wait_until_ready()
    assert two_workers.stop() == 0
    # Where workers are spawned, the supervisor's own helper, which tidies after them, goes a moment after it.
    eventually(lambda: not any(_is_alive(child) for child in children), within=10)


def test_workers_do_not_outlive_a_supervisor_that_is_killed(two_workers: Service) -> None:
    supervisor = two_workers.pid
    first, second = _children(supervisor)
    # One that was started later knows as well.
    os.kill(first, signal.SIGKILL)
    eventually(lambda: len(living := _children(supervisor)) == 2 and first not in living, within=10)
    workers = _children(supervisor)
    assert second in workers
    two_workers.wait_until_ready()
    os.kill(supervisor, signal.SIGKILL)
    eventually(lambda: not any(_is_alive(worker) for worker in workers), within=10)


def _children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def _is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False
