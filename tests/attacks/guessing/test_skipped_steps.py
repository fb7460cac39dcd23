"""threats.md, section 1 A, rows 16 to 19: steps in their order, and session keys.

Rows 1 to 8 are in ``test_code_guessing.py``, rows 9 to 15 in ``test_borrowed_codes.py``. That no order of steps but
the right one leads anywhere is tried at random, too, in ``tests/behaviour/flows/test_illegal_steps.py``.
"""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

import httpx
import pytest

from tests.conftest import Serving
from tests.support.requests.burst import Call, in_bursts
from tests.support.requests.stopwatch import Stopwatch, judged, shuffled
from tests.support.service.contract import forms_of
from tests.support.service.process import Service
from tests.support.state.database_inspector import DatabaseInspector, inspect_database
from tests.support.state.time_travel import let_pass
from tests.support.users.flows import FLOWS, GONE, MALFORMED, an_unknown_key, opened, outcome, ready_for_a_new_password
from tests.support.users.many_people import confirming
from tests.support.users.people import Person, Walker, a_wrong_code, new_person
from tests.support.users.session_factory import SessionFactory

OUT_OF_ORDER = (409, "step_out_of_order")
REPLACED = (400, "code_replaced")
WEAK = (422, "weak_password")


def row_of(db: DatabaseInspector, person: Person) -> list[Any]:
    return db.rows("SELECT * FROM users WHERE email = $1", person.email)


def test_row_16_a_new_password_needs_the_key_that_the_code_was_traded_for(walk: Walker, db: DatabaseInspector) -> None:
    person, first, code = opened(walk, "recover")
    other, others_key = ready_for_a_new_password(walk)
    before, others_before = row_of(db, person), row_of(db, other)

    def choose(key: str, password: str = "chosen out of turn") -> tuple[int, str]:
        return outcome(walk.post("/recover/password", session_key=key, password=password))

    assert choose(first) == OUT_OF_ORDER
    assert walk.confirm("recover", first, a_wrong_code(code)).status_code == 400
    assert choose(first) == choose(opened(walk, "recover")[1]) == OUT_OF_ORDER
    second = walk.confirm("recover", first, code).json()["session_key"]
    assert (len(second), second == first) == (64, False)
    assert outcome(walk.confirm("recover", first, code)) == GONE
    assert outcome(walk.confirm("recover", second, code)) == OUT_OF_ORDER
    assert outcome(walk.post("/recover/resend", session_key=second)) == OUT_OF_ORDER
    assert outcome(walk.post("/register/login", session_key=second, login=new_person().login)) == GONE
    # The old key, keys of other flows at other steps, and the halves of two good keys put together.
    for key in (first, walk.open_login(person)[0], opened(walk, "register")[1], an_unknown_key()):
        assert choose(key) == GONE
    assert choose(second[:22] + others_key[22:]) == GONE
    assert choose(others_key[:22] + second[22:]) == GONE
    assert (row_of(db, person), row_of(db, other)) == (before, others_before)
    assert choose(second, "chosen in its turn") == (204, "")
    changed = row_of(db, person)
    assert choose(second, "chosen a second time") == GONE
    assert row_of(db, person) == changed
    assert walk.post("/login", login=person.login, password="chosen in its turn").status_code == 202


@pytest.mark.parametrize(("setting", "minutes"), [("", 30), ("1200", 20)])
def test_row_16_a_flow_is_worth_nothing_after_its_life_at_any_step(
    setting: str, minutes: int, serving: Serving
) -> None:
    with serving(workers=2, FLOW_TTL=setting) as service, service.walker() as walk, inspect_database(service) as db:
        _, key_in_time = ready_for_a_new_password(walk)
        let_pass(db, timedelta(minutes=minutes / 2))
        late, key = ready_for_a_new_password(walk)
        unread = {flow: opened(walk, flow)[1:] for flow in FLOWS}
        let_pass(db, timedelta(minutes=minutes / 2 - 1))
        chosen = {"session_key": key_in_time, "password": "chosen in time"}
        assert outcome(walk.post("/recover/password", **chosen)) == (204, "")
        before = row_of(db, late)
        let_pass(db, timedelta(minutes=minutes / 2 + 2))
        assert outcome(walk.post("/recover/password", session_key=key, password="chosen too late")) == GONE
        for flow, (unread_key, code) in unread.items():
            assert outcome(walk.confirm(flow, unread_key, code)) == GONE
            assert outcome(walk.post(f"/{flow}/resend", session_key=unread_key)) == GONE
        assert row_of(db, late) == before


def test_row_16_a_login_step_is_opened_by_a_taken_login_alone(
    walk: Walker, alice: Person, db: DatabaseInspector
) -> None:
    late = Person(new_person().email, alice.login.upper(), "a password of my own")
    key, code = walk.open_registration(late)
    assert outcome(walk.confirm("register", key, code)) == (409, "login_taken")
    assert outcome(walk.confirm("register", key, code)) == OUT_OF_ORDER
    for left in (4, 3, 2, 1, 0):
        refused = walk.post("/register/login", session_key=key, login=alice.login)
        assert (*outcome(refused), refused.json()["attempts_left"]) == (409, "login_taken", left)
    assert outcome(walk.post("/register/login", session_key=key, login=new_person().login)) == GONE
    assert row_of(db, late) == []


def test_row_16_nobody_has_an_account_or_a_token_before_the_code(
    walk: Walker, alice: Person, db: DatabaseInspector
) -> None:
    person, key, _ = opened(walk, "register")
    assert outcome(walk.post("/register/login", session_key=key, login=new_person().login)) == OUT_OF_ORDER
    assert row_of(db, person) == []
    assert walk.post("/login", login=person.login, password=person.password).status_code == 401
    answer = walk.post("/login", login=alice.login, password=alice.password)
    assert answer.json().keys() == {"session_key", "expires_in", "resend_after", "next"}


def forms_of_later_steps(service: Service) -> dict[str, set[str]]:
    """The routes that go on with a session key, and what else they take, as the service itself tells."""
    return {path: fields for path, fields in forms_of(service).items() if "session_key" in fields}


@pytest.mark.parametrize("named", ["email", "login", "user_id", "id", "sub", "purpose", "step"])
def test_row_17_no_later_step_takes_a_name(
    named: str, service: Service, walk: Walker, alice: Person, db: DatabaseInspector
) -> None:
    forms = forms_of_later_steps(service)
    own = ("me/email", "me/delete")
    assert {f"/{flow}/{step}" for flow in (*FLOWS, *own) for step in ("confirm", "resend")} < forms.keys()
    assert {path for path, form in forms.items() if "login" in form} == {"/register/login"}
    [victim] = row_of(db, alice)
    value = {"email": alice.email, "login": alice.login, "purpose": "recover", "step": "password"}.get(
        named, str(victim["id"])
    )
    attacker, key, code = opened(walk, "recover")
    signed_in = {"Authorization": f"Bearer {SessionFactory(service, db).create(attacker).access}"}
    good = {"code": code, "password": "meant for another", "login": new_person().login}
    for path, form in forms.items():
        if named not in form:
            body = {"session_key": key, **{field: good[field] for field in form - {"session_key"}}, named: value}
            answer = walk.client.post(path, json=body, headers=signed_in if path.startswith("/me/") else {})
            assert outcome(answer) == MALFORMED, path
    key = walk.confirm("recover", key, code).json()["session_key"]
    choice = {"session_key": key, "password": "meant for another"}
    assert outcome(walk.post("/recover/password", **choice, **{named: value})) == MALFORMED
    assert walk.post("/recover/password", **choice).status_code == 204
    assert row_of(db, alice) == [victim]
    assert walk.post("/login", login=attacker.login, password="meant for another").status_code == 202


def test_row_18_a_thousand_session_keys_are_long_and_all_different(
    service: Service, walk: Walker, *, full_counts: bool
) -> None:
    count = 1000 if full_counts else 200
    calls: list[Call] = [("/recover", {"email": new_person("nobody").email}) for _ in range(count)]
    keys = [answer.json["session_key"] for answer in in_bursts(service, calls)]
    assert all(re.fullmatch("[A-Za-z0-9_-]{64}", key) for key in keys)
    # Neither half of a key, nor a part of one, comes twice.
    for part in (slice(2, 10), slice(24, 32), slice(54, 62)):
        assert len({key[part] for key in keys}) == count
    wish = {"email": new_person("nobody").email, "session_key": an_unknown_key()}
    assert outcome(walk.post("/recover", **wish)) == MALFORMED
    assert outcome(walk.confirm("recover", str(wish["session_key"]), "1234")) == GONE


@pytest.mark.parametrize("ending", ["used", "spent"])
def test_row_18_a_key_that_never_was_and_one_that_is_over_are_one_answer_at_one_time(
    ending: str, service: Service, walk: Walker, *, full_counts: bool
) -> None:
    _, over, code = opened(walk, "login")
    if ending == "used":
        assert walk.confirm("login", over, code).is_success
    else:
        assert [walk.confirm("login", over, a_wrong_code(code)).status_code for _ in range(3)] == [400] * 3

    def body(answer: httpx.Response) -> tuple[int, dict[str, str], str]:
        varying = {"date", "x-request-id"}
        return answer.status_code, {n: v for n, v in answer.headers.items() if n not in varying}, answer.text

    other = opened(walk, "register")[1]
    altered = over[:-1] + ("A" if over[-1] != "A" else "B")
    never = (an_unknown_key(), other, altered, other[:32] + over[32:], "?" * 64, "é" * 64, "A" * 63 + "=")
    for key in never:
        assert body(walk.confirm("login", over, code)) == body(walk.confirm("login", key, code)), key
    with Stopwatch(service) as watch:
        timing = shuffled(
            watch, lambda _: confirming("login", over, code), lambda _: confirming("login", an_unknown_key(), code), 410
        )
        seen, alike = judged(timing, 2000 if full_counts else 300)
    assert alike, seen


def test_row_19_a_weak_password_does_not_burn_the_flow(walk: Walker) -> None:
    person, key = ready_for_a_new_password(walk)

    def choose(password: str) -> tuple[int, str]:
        return outcome(walk.post("/recover/password", session_key=key, password=password))

    assert choose("short") == MALFORMED
    assert choose("password1") == WEAK
    assert [choose(f"{person.login}!!") for _ in range(4)] == [WEAK] * 4
    assert choose("a strong one at last") == (204, "")
    assert choose("and another one") == GONE


def test_row_19_five_passwords_of_own_words_end_a_flow_and_malformed_ones_do_not(walk: Walker) -> None:
    person, key = ready_for_a_new_password(walk)

    def choose(password: str) -> tuple[int, str]:
        return outcome(walk.post("/recover/password", session_key=key, password=password))

    # What is refused without a look at the account spends no try.
    assert [choose("short") for _ in range(6)] == [MALFORMED] * 6
    assert [choose("password1") for _ in range(6)] == [WEAK] * 6
    assert [choose(person.email) for _ in range(5)] == [WEAK] * 5
    assert choose("a strong one too late") == GONE
