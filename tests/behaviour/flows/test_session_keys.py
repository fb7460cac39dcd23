"""Session keys and the steps they open: nothing aliased, nothing skipped, nobody else's name on the way."""

from __future__ import annotations

import re
from base64 import urlsafe_b64encode

import pytest

from devstack.mailbox import Mailbox
from tests.conftest import Serving
from tests.support.requests.burst import in_bursts
from tests.support.service.process import Service
from tests.support.state.database_inspector import DatabaseInspector
from tests.support.users.flows import (
    FLOWS,
    GONE,
    MALFORMED,
    opened,
    outcome,
    ready_for_a_new_password,
    wait_until_after,
)
from tests.support.users.people import Person, Walker, a_wrong_code, somebody

WEAK = (422, "weak_password")
OUT_OF_ORDER = (409, "step_out_of_order")


def row_of(db: DatabaseInspector, person: Person) -> list[object]:
    return db.rows("SELECT * FROM users WHERE email = $1", person.email)


def aliases(code: str) -> list[object]:
    """What a careless reader takes for the code."""
    arabic = code.translate({ord("0") + digit: 0x660 + digit for digit in range(10)})
    fullwidth = code.translate({ord("0") + digit: 0xFF10 + digit for digit in range(10)})
    texts = [
        f"+{code}",
        f" {code}",
        f"{code} ",
        f"{code}\n",
        f"\n{code}",
        f"{code[0]}_{code[1:]}",
        f"{code}.0",
        f"-{code}",
    ]
    texts += [
        f"{code}\x00",
        f"{code}\u200b",
        f"0x{int(code):x}",
        code.lstrip("0")[:3],
        f"{code}e0",
        f"{code},{code}",
        "",
    ]
    lists = [[code], [f"{n:04d}" for n in range(1000)], {"$ne": 1}, {"code": code}, [[code]]]
    return [*texts, arabic, fullwidth, int(code), float(code), True, None, *lists]


@pytest.mark.parametrize("flow", FLOWS)
def test_a_code_in_any_other_form_is_refused_and_spends_no_guess(flow: str, walk: Walker) -> None:
    _, key, code = opened(walk, flow)
    for alias in aliases(code):
        answer = walk.post(f"/{flow}/confirm", session_key=key, code=alias)
        assert outcome(answer) == MALFORMED, alias
    assert walk.confirm(flow, key, a_wrong_code(code)).json()["attempts_left"] == 2
    assert walk.confirm(flow, key, code).is_success


def test_a_password_step_is_opened_by_its_own_new_key_alone_and_once(walk: Walker, db: DatabaseInspector) -> None:
    alice, first, code = opened(walk, "recover")
    row = row_of(db, alice)

    def choose(key: str) -> tuple[int, str]:
        return outcome(walk.post("/recover/password", session_key=key, password="chosen out of turn"))

    assert choose(first) == OUT_OF_ORDER
    assert choose(walk.open_login(alice)[0]) == GONE
    assert choose(opened(walk, "register")[1]) == GONE
    assert choose(opened(walk, "recover")[1]) == OUT_OF_ORDER
    second = walk.confirm("recover", first, code).json()["session_key"]
    assert (len(second), second == first) == (64, False)
    assert choose(first) == GONE
    assert outcome(walk.confirm("recover", first, code)) == GONE
    assert outcome(walk.confirm("recover", second, code)) == OUT_OF_ORDER
    assert outcome(walk.post("/recover/resend", session_key=second)) == OUT_OF_ORDER
    assert outcome(walk.post("/register/login", session_key=second, login=somebody().login)) == GONE
    assert row_of(db, alice) == row
    assert choose(second) == (204, "")
    assert choose(second) == GONE


def test_a_login_step_is_opened_by_a_taken_login_alone(walk: Walker, alice: Person, db: DatabaseInspector) -> None:
    person, key, code = opened(walk, "register")
    skipped = walk.post("/register/login", session_key=key, login=somebody().login)
    assert outcome(skipped) == OUT_OF_ORDER
    assert row_of(db, person) == []
    late = Person(somebody().email, alice.login.upper(), "a password of my own")
    key, code = walk.open_registration(late)
    assert outcome(walk.confirm("register", key, code)) == (409, "login_taken")
    assert outcome(walk.confirm("register", key, code)) == OUT_OF_ORDER
    for left in (4, 3, 2, 1, 0):
        refused = walk.post("/register/login", session_key=key, login=alice.login)
        assert (*outcome(refused), refused.json()["attempts_left"]) == (409, "login_taken", left)
    assert outcome(walk.post("/register/login", session_key=key, login=somebody().login)) == GONE
    assert row_of(db, late) == []


@pytest.mark.parametrize("field", ["email", "login", "user_id", "sub", "purpose", "step"])
def test_nobody_else_can_be_named_after_the_start(
    field: str, walk: Walker, alice: Person, db: DatabaseInspector
) -> None:
    victim = row_of(db, alice)
    named = {field: {"login": alice.login, "user_id": str(victim[0]["id"])}.get(field, alice.email)}  # type: ignore[index]
    _, key, code = opened(walk, "recover")
    assert outcome(walk.post("/recover/confirm", session_key=key, code=code, **named)) == MALFORMED
    second = walk.confirm("recover", key, code).json()["session_key"]
    choice = {"session_key": second, "password": "meant for another", **named}
    assert outcome(walk.post("/recover/password", **choice)) == MALFORMED
    assert outcome(walk.post("/recover/resend", session_key=second, **named)) == MALFORMED
    assert row_of(db, alice) == victim


def test_session_keys_are_long_unique_and_made_here(
    service: Service,
    walk: Walker,
    full_counts: bool,  # noqa: FBT001 - a fixture
) -> None:
    calls = [("/recover", {"email": somebody("nobody").email}) for _ in range(1000 if full_counts else 200)]
    keys = [answer.json["session_key"] for answer in in_bursts(service, [(path, {**body}) for path, body in calls])]
    assert all(re.fullmatch(r"[A-Za-z0-9_-]{64}", key) for key in keys)
    # Ids and secrets are both fresh: no 48 bits of the one or the other come twice.
    assert len({key[:8] for key in keys}) == len({key[24:32] for key in keys}) == len(keys)
    own = urlsafe_b64encode(bytes(48)).decode()
    assert outcome(walk.post("/recover", email=somebody().email, session_key=own)) == MALFORMED


def test_a_key_that_never_was_and_one_that_is_used_up_are_one_answer(walk: Walker) -> None:
    _, used, code = opened(walk, "login")
    walk.confirm("login", used, code)
    foreign = opened(walk, "register")[1]
    altered = used[:-1] + ("A" if used[-1] != "A" else "B")
    never = [
        urlsafe_b64encode(bytes(48)).decode(),
        "?" * 64,
        "é" * 64,
        "A" * 63 + "=",
        f"{foreign[:32]}{used[32:]}",
        altered,
    ]
    answers = [walk.confirm("login", key, code) for key in (used, foreign, *never)]
    assert {answer.status_code for answer in answers} == {410}
    assert len({answer.text for answer in answers}) == 1


def test_a_weak_new_password_can_be_mended(walk: Walker) -> None:
    person, key = ready_for_a_new_password(walk)
    weak = walk.post("/recover/password", session_key=key, password=f"{person.login}!!")
    assert outcome(weak) == WEAK
    assert walk.post("/recover/password", session_key=key, password="a strong one at last").status_code == 204
    assert outcome(walk.post("/recover/password", session_key=key, password="and another one")) == GONE


def test_five_passwords_of_own_words_end_a_flow_and_malformed_ones_do_not(walk: Walker) -> None:
    person, key = ready_for_a_new_password(walk)

    def choose(password: str) -> tuple[int, str]:
        return outcome(walk.post("/recover/password", session_key=key, password=password))

    # What is refused without a look at the account spends no try.
    assert [choose("short") for _ in range(6)] == [MALFORMED] * 6
    assert [choose("password1") for _ in range(6)] == [WEAK] * 6
    assert [choose(person.email) for _ in range(5)] == [WEAK] * 5
    assert choose("a strong one too late") == GONE


def test_a_flow_ends_with_its_time_at_every_step(serving: Serving, mailbox: Mailbox) -> None:
    with serving(FLOW_TTL="3") as service, service.client() as client:
        walk = Walker(client, mailbox)
        person, login_key, login_code = opened(walk, "login")
        _, second = ready_for_a_new_password(walk)
        unread, unread_code = walk.open_recovery(person)
        wait_until_after(mailbox.mails(person.email)[-1].received_at, 3.1)
        assert outcome(walk.confirm("login", login_key, login_code)) == GONE
        assert outcome(walk.confirm("recover", unread, unread_code)) == GONE
        assert outcome(walk.post("/login/resend", session_key=login_key)) == GONE
        assert outcome(walk.post("/recover/password", session_key=second, password="too late for this")) == GONE
