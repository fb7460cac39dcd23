"""threats.md, section 1 A, rows 16 to 20: steps in their order, session keys, and one guess at each of many accounts.

Rows 1 to 8 are in ``test_code_guessing.py``, rows 9 to 15 in ``test_borrowed_codes.py``. That no order of steps but
the right one leads anywhere is tried at random, too, in ``tests/behaviour/flows/test_illegal_steps.py``.
"""

from __future__ import annotations

import re
import secrets
from base64 import urlsafe_b64encode
from datetime import timedelta
from typing import Any

import httpx
import pytest

from devstack.mailbox import Mailbox
from tests.conftest import Serving
from tests.support.requests.burst import Call, burst, in_bursts, outcomes
from tests.support.requests.stopwatch import Stopwatch, judged, shuffled
from tests.support.service.contract import forms_of
from tests.support.service.process import AS_SHIPPED, Service
from tests.support.state.database_inspector import DatabaseInspector, inspect_database
from tests.support.state.time_travel import let_pass
from tests.support.users.flows import FLOWS, GONE, MALFORMED, WRONG_CODE, opened, outcome, ready_for_a_new_password
from tests.support.users.many_people import confirming, members, metric, newest_code, recoveries
from tests.support.users.people import Person, Walker, a_wrong_code, somebody
from tests.support.users.session_factory import SessionFactory

OUT_OF_ORDER = (409, "step_out_of_order")
REPLACED = (400, "code_replaced")
WEAK = (422, "weak_password")
CAP = 20
"""Wrong guesses at /recover that the lowest floor bears a day."""


def row_of(db: DatabaseInspector, person: Person) -> list[Any]:
    return db.rows("SELECT * FROM users WHERE email = $1", person.email)


def an_unknown_key() -> str:
    """A session key that was never given out, and names a flow that no known device began, as all of these here."""
    raw = bytearray(secrets.token_bytes(48))
    raw[0] &= 0x7F
    return urlsafe_b64encode(raw).decode()


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
    assert outcome(walk.post("/register/login", session_key=second, login=somebody().login)) == GONE
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
    setting: str, minutes: int, serving: Serving, mailbox: Mailbox
) -> None:
    with serving(workers=2, FLOW_TTL=setting) as service, service.client() as client, inspect_database(service) as db:
        walk = Walker(client, mailbox)
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
    late = Person(somebody().email, alice.login.upper(), "a password of my own")
    key, code = walk.open_registration(late)
    assert outcome(walk.confirm("register", key, code)) == (409, "login_taken")
    assert outcome(walk.confirm("register", key, code)) == OUT_OF_ORDER
    for left in (4, 3, 2, 1, 0):
        refused = walk.post("/register/login", session_key=key, login=alice.login)
        assert (*outcome(refused), refused.json()["attempts_left"]) == (409, "login_taken", left)
    assert outcome(walk.post("/register/login", session_key=key, login=somebody().login)) == GONE
    assert row_of(db, late) == []


def test_row_16_nobody_has_an_account_or_a_token_before_the_code(
    walk: Walker, alice: Person, db: DatabaseInspector
) -> None:
    person, key, _ = opened(walk, "register")
    assert outcome(walk.post("/register/login", session_key=key, login=somebody().login)) == OUT_OF_ORDER
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
    good = {"code": code, "password": "meant for another", "login": somebody().login}
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
    calls: list[Call] = [("/recover", {"email": somebody("nobody").email}) for _ in range(count)]
    keys = [answer.json["session_key"] for answer in in_bursts(service, calls)]
    assert all(re.fullmatch("[A-Za-z0-9_-]{64}", key) for key in keys)
    # Neither half of a key, nor a part of one, comes twice.
    for part in (slice(2, 10), slice(24, 32), slice(54, 62)):
        assert len({key[part] for key in keys}) == count
    wish = {"email": somebody("nobody").email, "session_key": an_unknown_key()}
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


def test_row_20_one_wrong_guess_at_each_of_many_accounts_lengthens_the_codes_of_all(
    serving: Serving, mailbox: Mailbox
) -> None:
    with (
        serving(workers=2, **AS_SHIPPED) as service,
        service.client() as client,
        service.client(headers={"X-Device": "new"}) as phone,
        inspect_database(service) as db,
    ):
        walk, on_phone = Walker(client, mailbox), Walker(phone, mailbox)
        *crowd, bystander = members(service, mailbox, 2 * CAP + 1)
        owner = somebody("owner")
        registered = on_phone.confirm("register", *on_phone.open_registration(owner))
        phone.headers["X-Device"] = registered.headers["X-Device"]
        owners_key, owners_code = on_phone.open_recovery(owner)
        strangers_key = walk.post("/recover", email=somebody("stranger").email).json()["session_key"]
        flows = recoveries(service, mailbox, crowd)
        assert {len(code) for _, code in flows} == {4}

        # A known device's guesses are not counted here: it has a ladder of its own.
        assert outcome(on_phone.confirm("recover", owners_key, a_wrong_code(owners_code))) == WRONG_CODE
        assert metric(service, "auth_wrong_guesses_unresolved", "recover") == 0

        # The attack: one guess each. The twentieth is still compared, and it is the last.
        wrong = [confirming("recover", key, a_wrong_code(code)) for key, code in flows]
        for call in wrong[: CAP - 1]:
            assert burst(service, [call])[0].outcome == WRONG_CODE
        assert metric(service, "auth_code_floor_raised", "recover") == 0
        assert burst(service, [wrong[CAP - 1]])[0].outcome == WRONG_CODE
        assert metric(service, "auth_code_floor_raised", "recover") == 1
        assert metric(service, "auth_code_floor_digits", "recover") == 6
        assert metric(service, "auth_code_floor_raised", "login") == 0
        answers = burst(service, wrong[CAP:])
        assert outcomes(answers) == {REPLACED: CAP}
        assert all("attempts_left" not in answer.json for answer in answers)
        assert metric(service, "auth_wrong_guesses_unresolved", "recover") == CAP

        # A right code of four digits is not compared either; and who has no account is told the same.
        (hit_key, hit_code), hit = flows[0], crowd[0]
        assert outcome(walk.confirm("recover", hit_key, hit_code)) == REPLACED
        assert outcome(walk.confirm("recover", strangers_key, "0000")) == REPLACED
        assert outcome(walk.confirm("recover", strangers_key, "0000")) == WRONG_CODE

        # Whose code was replaced is mailed a longer one, and has the guesses that he had.
        code = newest_code(mailbox, hit, 3)
        assert len(code) == 6
        assert walk.confirm("recover", hit_key, a_wrong_code(code)).json()["attempts_left"] == 1
        longer = [newest_code(mailbox, person, 3) for person in crowd[CAP:]]
        assert {len(code) for code in longer} == {6}
        assert walk.confirm("recover", flows[CAP][0], a_wrong_code(longer[0])).json()["attempts_left"] == 2
        keys = [key for key, _ in flows[CAP:]]
        mended = [confirming("recover", key, code) for key, code in zip(keys, longer, strict=True)]
        assert outcomes(burst(service, mended)) == {(200, ""): CAP}

        # New flows: six digits for unknown devices at this purpose, four at the other one and for a known device.
        assert len(walk.open_recovery(bystander)[1]) == 6
        assert len(walk.open_login(bystander)[1]) == 4
        assert on_phone.confirm("recover", owners_key, owners_code).is_success
        key, code = on_phone.open_recovery(owner)
        assert len(code) == 4
        assert on_phone.confirm("recover", key, code).is_success

        # Half of a day's guesses have come back after half a day, and then the floor falls.
        db.wait_until_all_mail_has_left()
        let_pass(db, timedelta(hours=10))
        assert metric(service, "auth_code_floor_raised", "recover") == 1
        let_pass(db, timedelta(hours=3))
        assert metric(service, "auth_code_floor_raised", "recover") == 0
        assert len(walk.open_recovery(bystander)[1]) == 4


@pytest.mark.parametrize("attack", ["one flow of his own", "flows that never were"])
def test_row_20_a_burst_at_one_flow_or_at_none_replaces_nobody_elses_code(
    attack: str, serving: Serving, mailbox: Mailbox
) -> None:
    """Three guesses are all that a flow has, however many are sent; more must not count as a spray over the service.

    Otherwise one caller at one moment, who needs no account and no mail, ends every recovery that is under way.
    """
    with serving(workers=2, **AS_SHIPPED) as service, service.client() as client:
        walk = Walker(client, mailbox)
        victim, attacker = members(service, mailbox, 2)
        (key, code), (own, own_code) = recoveries(service, mailbox, [victim, attacker])
        for _ in range(3):
            keys = [own if attack == "one flow of his own" else an_unknown_key() for _ in range(200)]
            seen = outcomes(
                burst(service, [confirming("recover", guessed, a_wrong_code(own_code)) for guessed in keys])
            )
            # So many at once may be more than the service compares at a time: then it says so.
            assert seen.keys() <= {GONE, WRONG_CODE, (503, "unavailable")}
            assert seen[WRONG_CODE] <= 3
        assert metric(service, "auth_code_floor_raises_total", "recover") == 0
        assert outcome(walk.confirm("recover", key, code)) == (200, "")
