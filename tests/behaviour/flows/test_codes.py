"""One-time codes: whom they are mailed to, what they open, how long they live, and what each guess costs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, datetime

import pytest

from devstack.mailbox import Mailbox
from tests.conftest import Serving
from tests.support.requests.burst import Call, in_bursts
from tests.support.service.process import Service
from tests.support.state.database_inspector import DatabaseInspector, inspect_database
from tests.support.users.flows import (
    FLOWS,
    GONE,
    WRONG_CODE,
    opened,
    outcome,
    ready_for_a_new_password,
    wait_until_after,
)
from tests.support.users.people import Person, Walker, a_wrong_code, somebody


@pytest.fixture(scope="module")
def eager(serving: Serving) -> Iterator[Service]:
    """A service where the next code may be asked for at once."""
    with serving(CODE_RESEND_AFTER="0") as running:
        yield running


@pytest.fixture
def eager_walk(eager: Service, mailbox: Mailbox) -> Iterator[Walker]:
    with eager.client() as client:
        yield Walker(client, mailbox)


@pytest.mark.parametrize("flow", FLOWS)
def test_a_used_code_stays_used_after_a_second_and_after_valkey_forgot(
    flow: str, walk: Walker, db: DatabaseInspector
) -> None:
    person, key, code = opened(walk, flow)
    db.wait_until_all_mail_has_left()
    memory = db.remember_valkey()
    assert walk.confirm(flow, key, code).is_success
    used_at = datetime.now(UTC)
    assert outcome(walk.confirm(flow, key, code)) == GONE
    wait_until_after(used_at, 1)
    assert outcome(walk.confirm(flow, key, code)) == GONE
    # As after a failover to a replica that lags behind: the flow is open again and its code is right.
    db.restore_valkey(memory)
    assert outcome(walk.confirm(flow, key, code)) == GONE
    db.valkey.flushdb()
    assert outcome(walk.confirm(flow, key, code)) == GONE
    assert db.value("SELECT count(*) FROM users WHERE email = $1", person.email) == 1


def test_a_password_is_not_replaced_again_after_valkey_forgot(walk: Walker, db: DatabaseInspector) -> None:
    person, key = ready_for_a_new_password(walk)
    memory = db.remember_valkey()
    assert walk.post("/recover/password", session_key=key, password="the first new one").status_code == 204
    db.restore_valkey(memory)
    assert outcome(walk.post("/recover/password", session_key=key, password="the second new one")) == GONE
    assert walk.post("/login", login=person.login, password="the first new one").status_code == 202


def test_a_code_opens_its_own_flow_alone(walk: Walker, alice: Person) -> None:
    flows = [walk.open_recovery(alice) for _ in range(5)]
    for key, own in flows:
        for other in [code for _, code in flows if code != own][:2]:
            assert outcome(walk.confirm("recover", key, other)) == WRONG_CODE
        assert walk.confirm("recover", key, own).is_success


def test_a_code_of_somebody_else_is_a_wrong_one(walk: Walker, alice: Person, bob: Person) -> None:
    walk.register(bob)
    (key, own), (_, other) = walk.open_login(alice), walk.open_login(bob)
    assert outcome(walk.confirm("login", key, other)) == (WRONG_CODE if other != own else (200, ""))


def test_a_code_is_worth_nothing_in_another_purpose(walk: Walker, alice: Person) -> None:
    login_key, login_code = walk.open_login(alice)
    recover_key, recover_code = walk.open_recovery(alice)
    if login_code != recover_code:
        assert outcome(walk.confirm("recover", recover_key, login_code)) == WRONG_CODE
        assert outcome(walk.confirm("login", login_key, recover_code)) == WRONG_CODE
    assert outcome(walk.confirm("recover", login_key, login_code)) == GONE
    assert outcome(walk.confirm("register", recover_key, recover_code)) == GONE


@pytest.mark.parametrize("flow", FLOWS)
def test_three_wrong_guesses_end_a_flow(flow: str, walk: Walker) -> None:
    _, key, code = opened(walk, flow)
    answers = [walk.confirm(flow, key, a_wrong_code(code)) for _ in range(10)]
    assert [outcome(answer) for answer in answers] == [WRONG_CODE] * 3 + [GONE] * 7
    assert [answer.json()["attempts_left"] for answer in answers[:3]] == [2, 1, 0]
    assert outcome(walk.confirm(flow, key, code)) == GONE


def test_an_unknown_address_is_answered_like_a_known_one(walk: Walker, alice: Person, db: DatabaseInspector) -> None:
    told: list[list[object]] = []
    for email in (alice.email, stranger := somebody("stranger").email):
        start = walk.post("/recover", email=email)
        db.wait_until_all_mail_has_left()
        mails = walk.mailbox.mails(email)
        wrong = a_wrong_code(mails[-1].code or "") if mails else "0000"
        answers = [walk.confirm("recover", start.json()["session_key"], wrong) for _ in range(5)]
        assert [outcome(answer) for answer in answers] == [WRONG_CODE] * 3 + [GONE] * 2
        told.append([{**start.json(), "session_key": ""}, *((answer.status_code, answer.json()) for answer in answers)])
    assert told[0] == told[1]
    assert walk.mailbox.mails(stranger) == []


@pytest.mark.parametrize("spelling", [str.lower, str.upper])
def test_the_owner_of_a_taken_address_is_told_and_nothing_changes(
    spelling: Callable[[str], str], walk: Walker, alice: Person, db: DatabaseInspector
) -> None:
    row = db.rows("SELECT * FROM users WHERE email = $1", alice.email)
    already = len(walk.mailbox.mails(alice.email))
    start = walk.post("/register", email=spelling(alice.email), login=somebody().login, password="all new to me")
    assert outcome(start) == (202, "")
    db.wait_until_all_mail_has_left()
    mails = walk.mailbox.mails(alice.email)[already:]
    assert [mail.code for mail in mails] == [None]
    assert alice.login in mails[0].text
    answers = [walk.confirm("register", start.json()["session_key"], "1234") for _ in range(4)]
    assert [outcome(answer) for answer in answers] == [WRONG_CODE] * 3 + [GONE]
    assert db.rows("SELECT * FROM users WHERE email = $1", alice.email) == row


@pytest.mark.parametrize("flow", FLOWS)
def test_a_resend_replaces_the_code_and_gives_no_guess_back(flow: str, eager_walk: Walker, eager: Service) -> None:
    walk = eager_walk
    person, key, old = opened(walk, flow)
    assert outcome(walk.confirm(flow, key, a_wrong_code(old))) == WRONG_CODE
    resent = walk.post(f"/{flow}/resend", session_key=key)
    assert outcome(resent) == (202, "")
    assert (resent.json()["session_key"], resent.json()["next"]) == (key, f"/{flow}/confirm")
    with inspect_database(eager) as db:
        db.wait_until_all_mail_has_left()
    new = walk.mailbox.mails(person.email)[-1].code
    assert new is not None
    if new != old:
        again = walk.confirm(flow, key, old)
        assert (*outcome(again), again.json()["attempts_left"]) == (*WRONG_CODE, 1)
    assert walk.confirm(flow, key, new).is_success


def test_resends_do_not_renew_the_three_guesses(eager_walk: Walker) -> None:
    _, key, code = opened(eager_walk, "login")
    for left in (2, 1):
        assert eager_walk.confirm("login", key, a_wrong_code(code)).json()["attempts_left"] == left
        assert eager_walk.post("/login/resend", session_key=key).status_code == 202
    # Whichever code is valid by now, a letter's width beside it is none.
    assert eager_walk.confirm("login", key, "0" * 12).json()["attempts_left"] == 0
    assert outcome(eager_walk.post("/login/resend", session_key=key)) == GONE


def test_a_flow_gives_five_more_codes_and_a_sixth_never(eager_walk: Walker, eager: Service) -> None:
    person, key, _ = opened(eager_walk, "register")
    with inspect_database(eager) as db:
        for _ in range(5):
            assert outcome(eager_walk.post("/register/resend", session_key=key)) == (202, "")
            db.wait_until_all_mail_has_left()
        refused = eager_walk.post("/register/resend", session_key=key)
        assert outcome(refused) == (429, "too_soon")
        assert 0 < int(refused.headers["Retry-After"]) <= 1800
        db.wait_until_all_mail_has_left()
    mails = eager_walk.mailbox.mails(person.email)
    assert len(mails) == 6
    assert eager_walk.confirm("register", key, mails[-1].code or "").status_code == 201


@pytest.mark.parametrize("flow", FLOWS)
def test_another_code_before_its_time_is_refused_with_the_time_to_wait(flow: str, walk: Walker) -> None:
    _, key, code = opened(walk, flow)
    refused = walk.post(f"/{flow}/resend", session_key=key)
    assert outcome(refused) == (429, "too_soon")
    assert 50 <= int(refused.headers["Retry-After"]) <= 60
    assert walk.confirm(flow, key, code).is_success


def test_a_code_ends_with_its_time_and_a_guess_at_it_counts(serving: Serving, mailbox: Mailbox) -> None:
    with serving(CODE_TTL="3") as service, service.client() as client:
        walk = Walker(client, mailbox)
        person, key, code = opened(walk, "register")
        wait_until_after(mailbox.mails(person.email)[0].received_at, 4)
        answers = [walk.confirm("register", key, code) for _ in range(4)]
    assert [outcome(answer) for answer in answers] == [WRONG_CODE] * 3 + [GONE]
    assert [answer.json()["attempts_left"] for answer in answers[:3]] == [2, 1, 0]


def test_every_digit_is_as_likely_as_any_other_at_every_place(
    service: Service,
    mailbox: Mailbox,
    db: DatabaseInspector,
    full_counts: bool,  # noqa: FBT001 - a fixture
) -> None:
    people = [somebody("digit") for _ in range(3000 if full_counts else 300)]
    calls: list[Call] = [("/register", {"email": p.email, "login": p.login, "password": p.password}) for p in people]
    for start in range(0, len(calls), 300):
        # More than a thousand waiting mails would have starts refused, as they should be.
        assert {answer.status for answer in in_bursts(service, calls[start : start + 300])} == {202}
        db.wait_until_all_mail_has_left(60)
    codes = [mailbox.mails(person.email)[0].code or "" for person in people]
    assert {len(code) for code in codes} == {4}
    for place in range(4):
        seen = Counter(code[place] for code in codes)
        # Chi-square with 9 degrees of freedom is above 48.1 once in four million times, and there are four places.
        expected = len(codes) / 10
        assert sum((seen[digit] - expected) ** 2 / expected for digit in "0123456789") < 48.1, (place, seen)
    # Of n codes drawn from 10,000 about n²/20,000 are repeats; a generator with few states would repeat itself more.
    assert len(codes) - len(set(codes)) < 20 + 2 * len(codes) ** 2 / 20_000
