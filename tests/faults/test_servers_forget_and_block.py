"""Valkey forgets everything, or remembers what was over; PostgreSQL is there and makes everybody wait for a lock."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import httpx
import pytest

from tests.conftest import Serving
from tests.support.service.process import Service
from tests.support.state.database_inspector import inspect_database
from tests.support.state.eventually import eventually
from tests.support.users.flows import before_their_last_answer
from tests.support.users.people import Walker, new_person

ANSWERED_WITHIN = 2.0


@pytest.fixture(scope="module")
def lone_service(fragile_serving: Serving) -> Iterator[Service]:
    """A service whose corner of Valkey may be emptied."""
    with fragile_serving() as running:
        yield running


@pytest.fixture
def walk(lone_service: Service) -> Iterator[Walker]:
    with lone_service.walker() as walk:
        yield walk


def _is_gone(answer: httpx.Response) -> bool:
    return (answer.status_code, answer.json().get("code")) == (410, "flow_gone")


def _flows_before_their_last_answer(walk: Walker) -> dict[str, Callable[[], httpx.Response]]:
    return {path: partial(walk.post, path, **body) for path, (_, body) in before_their_last_answer(walk).items()}


def test_flows_that_valkey_forgot_are_gone_and_new_ones_work(lone_service: Service, walk: Walker) -> None:
    requests = _flows_before_their_last_answer(walk)
    alice = new_person("alice")
    walk.register(alice)
    token = walk.log_in(alice)
    with inspect_database(lone_service) as db:
        # FLUSHALL ends every database of the server, scripts included only with SCRIPT FLUSH; a new server has neither.
        db.valkey.flushall()
        db.valkey.script_flush()
    assert {path: _is_gone(request()) for path, request in requests.items()} == dict.fromkeys(requests, True)
    assert walk.me(token).status_code == 200
    walk.recover(alice, "chosen after the flood")


def test_a_step_passed_is_passed_though_valkey_forgets_or_believes_it_open_again(
    lone_service: Service, walk: Walker
) -> None:
    requests = _flows_before_their_last_answer(walk)
    with inspect_database(lone_service) as db:
        db.wait_until_all_mail_has_left()
        memory = db.remember_valkey()
        assert [request().status_code for request in requests.values()] == [201, 200, 200, 201, 204]
        before = _accounts(lone_service)
        db.valkey.flushall()
        assert {path: _is_gone(request()) for path, request in requests.items()} == dict.fromkeys(requests, True)
        # What a failover to a replica that lagged behind brings back: PostgreSQL has the last word.
        db.restore_valkey(memory)
        assert {path: _is_gone(request()) for path, request in requests.items()} == dict.fromkeys(requests, True)
    assert _accounts(lone_service) == before


def _accounts(service: Service) -> list[tuple[object, ...]]:
    with inspect_database(service) as db:
        return [tuple(row) for row in db.rows("SELECT id, login, version, password_hash FROM users ORDER BY id")]


def test_a_locked_table_is_refused_at_the_deadline_and_normal_afterwards(
    lone_service: Service, walk: Walker, *, full_counts: bool
) -> None:
    alice, new = new_person("alice"), new_person("new")
    walk.register(alice)
    token = walk.log_in(alice)
    registration = walk.open_registration(new)
    with inspect_database(lone_service) as locker, ThreadPoolExecutor(3) as callers:
        locker.rows("BEGIN")
        locker.rows("LOCK TABLE users IN ACCESS EXCLUSIVE MODE")
        until = time.monotonic() + (20 if full_counts else 4)
        while time.monotonic() < until:
            refused = [
                callers.submit(walk.post, "/login", login=alice.login, password=alice.password),
                callers.submit(walk.me, token),
                callers.submit(walk.confirm, "register", *registration),
            ]
            for path in ("/health/live", "/health/ready"):
                health = walk.client.get(path)
                assert (health.status_code, health.elapsed.total_seconds() < ANSWERED_WITHIN / 2) == (200, True)
            for call in refused:
                answer = call.result()
                assert (answer.status_code, answer.json()["code"]) == (503, "unavailable")
                assert int(answer.headers["Retry-After"]) > 0
                assert answer.elapsed.total_seconds() < ANSWERED_WITHIN
        locker.rows("ROLLBACK")
    eventually(lambda: walk.me(token).status_code == 200, 5)
    assert walk.confirm("register", *registration).status_code == 201, "an answer of 503 has used the code up"
    walk.log_in(alice)
    assert "unforeseen" not in lone_service.log()
