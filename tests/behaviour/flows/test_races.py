"""Requests that arrive at one moment, at two worker processes: three guesses a flow, one effect a code."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from uuid import UUID

import pytest

from devstack.mailbox import Mailbox
from tests.support.requests.burst import Call, burst, outcomes
from tests.support.service.process import Service
from tests.support.state.database_inspector import DatabaseInspector
from tests.support.users.people import Person, Walker, a_wrong_code, somebody

GONE = (410, "flow_gone")
WRONG = (400, "wrong_code")
FLOWS = ("register", "login", "recover")
SUCCESS = {"register": (201, ""), "login": (200, ""), "recover": (200, "")}


def confirm(flow: str, session_key: str, code: str) -> Call:
    return f"/{flow}/confirm", {"session_key": session_key, "code": code}


def opened(flow: str, walk: Walker, db: DatabaseInspector) -> tuple[Person, str, str]:
    """A flow that waits for its code: whose it is, its key, and the right code."""
    person = somebody("racer")
    if flow != "register":
        walk.register(person)
    key, code = {"register": walk.open_registration, "login": walk.open_login, "recover": walk.open_recovery}[flow](
        person
    )
    # The hand-over has a last word to say after the mail is there; let it, so that the burst has the flow for itself.
    db.wait_until_all_mail_has_left()
    return person, key, code


def open_all(service: Service, mailbox: Mailbox, people: Sequence[Person]) -> list[tuple[str, str]]:
    """A registration of each person, each from an address of its own: session keys with their codes."""

    def open_one(person: Person) -> tuple[str, str]:
        with service.client() as client:
            # The mails of one address do not say which flow they are for: one after the other, so that we know.
            return Walker(client, mailbox).open_registration(person)

    if len({person.email for person in people}) < len(people):
        return [open_one(person) for person in people]
    with ThreadPoolExecutor(4) as threads:
        return list(threads.map(open_one, people))


@pytest.mark.parametrize("flow", FLOWS)
def test_two_hundred_parallel_wrong_guesses_spend_three(
    flow: str,
    service: Service,
    walk: Walker,
    db: DatabaseInspector,
    full_counts: bool,  # noqa: FBT001 - a fixture
) -> None:
    for _ in range(20 if full_counts else 3):
        _, key, code = opened(flow, walk, db)
        answers = burst(service, [confirm(flow, key, a_wrong_code(code))] * 200)
        assert outcomes(answers) == {WRONG: 3, GONE: 197}
        assert sorted(a.json["attempts_left"] for a in answers if a.outcome == WRONG) == [0, 1, 2]
        assert walk.confirm(flow, key, code).json()["code"] == "flow_gone"


def test_one_right_code_among_two_hundred_guesses_is_lucky_at_most_once(
    service: Service,
    walk: Walker,
    db: DatabaseInspector,
    full_counts: bool,  # noqa: FBT001 - a fixture
) -> None:
    successes = 0
    for _ in range(400 if full_counts else 10):
        _, key, code = opened("recover", walk, db)
        codes = [a_wrong_code(code)] * 199 + [code]
        random.shuffle(codes)
        seen = outcomes(burst(service, [confirm("recover", key, guess) for guess in codes]))
        assert seen[SUCCESS["recover"]] <= 1
        # Evaluated are those that are told whether they were right; no other answer may come at all.
        assert seen[SUCCESS["recover"]] + seen[WRONG] <= 3
        assert set(seen) <= {SUCCESS["recover"], WRONG, GONE}
        successes += seen[SUCCESS["recover"]]
    # Row 2: at 3 of 200 the mean is 1.5 %, and three standard deviations above it are 6 + 7 of 400.
    assert successes <= (13 if full_counts else 3)


@pytest.mark.parametrize("flow", FLOWS)
def test_thirty_two_parallel_right_codes_have_one_effect(
    flow: str, service: Service, walk: Walker, db: DatabaseInspector
) -> None:
    person, key, code = opened(flow, walk, db)
    answers = burst(service, [confirm(flow, key, code)] * 32)
    assert outcomes(answers) == {SUCCESS[flow]: 1, GONE: 31}
    assert db.value("SELECT count(*) FROM users WHERE email = $1", person.email) == 1
    [won] = [answer.json for answer in answers if answer.outcome == SUCCESS[flow]]
    if flow == "recover":
        assert walk.post("/recover/password", session_key=key, password="an old key at work").status_code == 410
        assert walk.post("/recover/password", session_key=won["session_key"], password="a new beginning").is_success
    elif flow == "login":
        assert walk.me(won["access_token"]).json()["email"] == person.email
    else:
        assert db.value("SELECT id FROM users WHERE email = $1", person.email) == UUID(won["id"])


def test_of_thirty_two_parallel_new_passwords_one_is_set(service: Service, walk: Walker, db: DatabaseInspector) -> None:
    person, key, code = opened("recover", walk, db)
    key = walk.confirm("recover", key, code).json()["session_key"]
    passwords = [f"the new passphrase {number}" for number in range(32)]
    answers = burst(service, [("/recover/password", {"session_key": key, "password": p}) for p in passwords])
    assert outcomes(answers) == {(204, ""): 1, GONE: 31}
    [winner] = [p for p, answer in zip(passwords, answers, strict=True) if answer.status == 204]
    assert db.value("SELECT version FROM users WHERE email = $1", person.email) == 2
    accepted = [p for p in passwords if walk.post("/login", login=person.login, password=p).status_code == 202]
    assert accepted == [winner]
    db.wait_until_all_mail_has_left()
    changed = [
        mail for mail in walk.mailbox.mails(person.email) if "password" in mail.subject.lower() and not mail.code
    ]
    assert len(changed) == 1


def test_twenty_registrations_of_one_address_make_one_account(
    service: Service, mailbox: Mailbox, db: DatabaseInspector
) -> None:
    first = somebody("twin")
    opened_flows = open_all(service, mailbox, [replace(first, login=f"{first.login}.{n}") for n in range(20)])
    answers = burst(service, [confirm("register", key, code) for key, code in opened_flows])
    assert outcomes(answers) == {SUCCESS["register"]: 1, GONE: 19}
    assert db.value("SELECT count(*) FROM users WHERE email = $1", first.email) == 1


def test_twenty_registrations_of_one_login_make_one_account(
    service: Service, mailbox: Mailbox, db: DatabaseInspector
) -> None:
    login = somebody("name").login
    # Logins differ in case here: that makes no second one.
    spellings = [login.upper() if n % 2 else login for n in range(20)]
    opened_flows = open_all(service, mailbox, [replace(somebody("same"), login=spelling) for spelling in spellings])
    answers = burst(service, [confirm("register", key, code) for key, code in opened_flows])
    assert outcomes(answers) == {SUCCESS["register"]: 1, (409, "login_taken"): 19}
    assert db.value("SELECT count(*) FROM users WHERE login_canonical = $1", login.lower()) == 1
    # The nineteen go on with names of their own, all at once; and none of them gets in twice.
    waiting = [key for (key, _), answer in zip(opened_flows, answers, strict=True) if answer.status == 409]
    choices: list[Call] = [
        ("/register/login", {"session_key": key, "login": f"{login}.{n % 19}"}) for n, key in enumerate(waiting * 2)
    ]
    assert outcomes(burst(service, choices)) == Counter({(201, ""): 19, GONE: 19})


def test_parallel_resends_are_one_resend(service: Service, walk: Walker, db: DatabaseInspector) -> None:
    _, key, _ = opened("login", walk, db)
    answers = burst(service, [("/login/resend", {"session_key": key})] * 32)
    assert outcomes(answers) == {(429, "too_soon"): 32}
