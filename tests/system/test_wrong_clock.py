"""threats.md, row 11 and fault 21: the clock of the service may be wrong; the servers' clocks decide about codes."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path

import pytest

from devstack.mailbox import Mailbox
from tests.conftest import Serving
from tests.support.service.process import Service
from tests.support.users.flows import FLOWS, WRONG_CODE, opened, outcome, wait_until_after

pytestmark = pytest.mark.system

LIFE = 4
"""Seconds that a code lives here; ten minutes of a wrong clock are far more, in either direction."""


def _libfaketime() -> str:
    assert shutil.which("faketime"), "Debian's package faketime is needed"
    return str(next(Path("/usr/lib").glob("*/faketime/libfaketime.so.1")))


@pytest.fixture(params=["+10m", "-10m"])
def mistaken(request: pytest.FixtureRequest, serving: Serving) -> Iterator[Service]:
    """A service whose own clock is ten minutes fast or slow, while PostgreSQL's and Valkey's are right."""
    preloaded = {"LD_PRELOAD": _libfaketime(), "FAKETIME": request.param, "FAKETIME_DONT_FAKE_MONOTONIC": "1"}
    with serving(CODE_TTL=str(LIFE), LIMIT_RECOVERIES="3/3600", **preloaded) as service:
        yield service


def test_row_11_a_code_lives_as_long_as_valkey_says_whatever_clock_the_service_has(
    mistaken: Service, mailbox: Mailbox
) -> None:
    for flow in FLOWS:
        with mistaken.walker() as walk:
            _, key, code = opened(walk, flow)
            answer = walk.confirm(flow, key, code)
            assert answer.is_success, (flow, answer.text)
            believed = parsedate_to_datetime(answer.headers["Date"])
            assert abs((believed - datetime.now(UTC)).total_seconds()) > 500, "the clock is right, and nothing is shown"
    with mistaken.walker() as walk:
        person, key, code = opened(walk, "recover")
        wait_until_after(mailbox.mails(person.email)[-1].received_at, LIFE + 1)
        assert outcome(walk.confirm("recover", key, code)) == WRONG_CODE


def test_row_11_a_limit_is_what_it_is_whatever_clock_the_service_has(mistaken: Service) -> None:
    with mistaken.client() as client:
        answers = [client.post("/recover", json={"email": "nobody@example.com"}) for _ in range(5)]
    assert [answer.status_code for answer in answers] == [202] * 3 + [429] * 2
    assert all(1100 < int(answer.headers["Retry-After"]) <= 1200 for answer in answers[3:])
