"""threats.md, section 1 C, "Enumeration", rows 30 to 33: no answer tells who has an account.

Whether a clock tells it is asked in `test_timing.py`. Row 34, which states of an account are told to whom, belongs to
the issue that brings those states; that a blocked account's wrong password is refused like any other is shown here.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import httpx
import pytest

from backend.passwords.hasher import hash_password
from devstack.mailbox import Mailbox
from tests.conftest import Serving
from tests.support.requests.visible_response import VisibleResponse, visible_response, without_seconds_left
from tests.support.service.fixtures import service_fixture
from tests.support.service.process import AS_SHIPPED, Service
from tests.support.state.database_inspector import DatabaseInspector, inspect_database
from tests.support.state.eventually import eventually
from tests.support.users.flows import GONE, WRONG_CODE, outcome
from tests.support.users.people import Person, Walker, a_wrong_code, new_person

REPLACED = (400, "code_replaced")
TOO_OFTEN = (429, "too_many_requests")
PASSWORD = "the same for everybody"

HASTY = {"LADDER_4": "3/2", "LADDER_6": "6/52", "LADDER_8": "6/1000", "CODE_RESEND_AFTER": "0", "CODE_RESENDS": "2"}
"""Budgets so small that eight flows climb to the top of the ladder, and no minute between two codes."""


as_shipped = service_fixture(workers=2, **AS_SHIPPED)
"""A service with its limits as they are shipped."""


@pytest.fixture(scope="module")
def choosy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mailbox]:
    """A mail server that may refuse recipients without disturbing other tests."""
    mailbox = Mailbox(tmp_path_factory.mktemp("mail"))
    mailbox.start()
    yield mailbox
    mailbox.stop()


@pytest.fixture(scope="module")
def hasty(serving: Serving, choosy: Mailbox) -> Iterator[Service]:
    """A service of `HASTY` settings that mails through the choosy server."""
    with serving(workers=2, SMTP_URL=choosy.url, **HASTY) as running:
        yield running


@contextmanager
def watched(service: Service, mailbox: Mailbox) -> Iterator[tuple[Walker, DatabaseInspector]]:
    """Somebody who walks through the service, and somebody who looks behind its counter."""
    with service.client() as client, inspect_database(service) as db:
        yield Walker(client, mailbox), db


def start(walk: Walker, flow: str, person: Person) -> httpx.Response:
    """Begin a flow that anybody may begin about anybody."""
    form = {"email": person.email}
    if flow == "register":
        form |= {"login": person.login, "password": PASSWORD}
    return walk.post(f"/{flow}", **form)


def key_of(answer: httpx.Response) -> str:
    key: str = answer.json()["session_key"]
    return key


def newest_code(walk: Walker, person: Person, otherwise: str = "0000") -> str:
    """What the person would type; who was mailed nothing has to make something up."""
    return next(iter(walk.codes(person.email)[::-1]), otherwise)


# Row 30: /register.


def test_row_30_a_registration_is_answered_alike_whoever_has_the_address_and_the_login(
    walk: Walker, alice: Person, db: DatabaseInspector
) -> None:
    pending = new_person("pending")
    walk.open_registration(pending)
    db.wait_until_all_mail_has_left()
    already = len(walk.mailbox.mails(alice.email))
    emails = {"taken": alice.email, "taken, in capitals": alice.email.upper(), "pending": pending.email, "new": ""}
    logins = {"taken": alice.login, "taken, in capitals": alice.login.upper(), "pending": pending.login, "new": ""}
    seen: dict[tuple[str, str], VisibleResponse] = {}
    for email_is, email in emails.items():
        for login_is, login in logins.items():
            new = new_person("new")
            answer = start(walk, "register", replace(new, email=email or new.email, login=login or new.login))
            assert answer.status_code == 202
            seen[email_is, login_is] = visible_response(answer)
    ordinary = seen["new", "new"]
    assert {case: what for case, what in seen.items() if what != ordinary} == {}
    # The owner is told, by mail and without a code that would open somebody else's registration.
    db.wait_until_all_mail_has_left()
    told = walk.mailbox.mails(alice.email)[already:]
    assert len(told) == 8
    assert all(mail.code is None and alice.login in mail.text for mail in told)
    assert len(walk.codes(pending.email)) == 1 + 4


def test_row_30_asking_again_and_again_for_a_taken_address_changes_nothing_in_the_answer(
    as_shipped: Service, mailbox: Mailbox
) -> None:
    with watched(as_shipped, mailbox) as (walk, db):
        known, stranger = new_person("known"), new_person("stranger")
        walk.register(known)
        # As shipped an address gets five mails at once. That its bucket is empty is nobody else's business.
        rounds = [[start(walk, "register", person) for person in (known, stranger)] for _ in range(8)]
        assert len({repr(visible_response(answer)) for pair in rounds for answer in pair}) == 1
        db.wait_until_all_mail_has_left()
        assert len(walk.codes(stranger.email)) == 5
        assert sum(mail.code is None for mail in mailbox.mails(known.email)) == 5


# Row 31: /login.


def test_row_31_a_wrong_password_and_an_unknown_name_are_one_answer(
    walk: Walker, alice: Person, db: DatabaseInspector
) -> None:
    blocked, veteran, pending, nobody = (new_person(name) for name in ("blocked", "veteran", "pending", "nobody"))
    walk.register(blocked)
    walk.register(veteran)
    walk.open_registration(pending)
    db.rows("UPDATE users SET blocked_at = now() WHERE email = $1", blocked.email)
    cheaper = hash_password(veteran.password, 500)
    db.rows("UPDATE users SET password_hash = $2 WHERE email = $1", veteran.email, cheaper)
    wrong = "nobody has chosen this one"
    tried = {
        **{f"{person.login} by login": (person.login, wrong) for person in (alice, blocked, veteran, nobody)},
        **{f"{person.login} by address": (person.email, wrong) for person in (alice, blocked, veteran, nobody)},
        "before it is confirmed, by login": (pending.login, pending.password),
        "before it is confirmed, by address": (pending.email, pending.password),
        "in capitals": (alice.email.upper(), wrong),
    }
    seen = {
        case: visible_response(walk.post("/login", login=name, password=password))
        for case, (name, password) in tried.items()
    }
    assert {status for status, _, _ in seen.values()} == {401}
    assert len({repr(what) for what in seen.values()}) == 1, seen
    # It was the wrong password that was refused: with the right one these two are let in to the code.
    for person in (blocked, veteran):
        assert walk.post("/login", login=person.login, password=person.password).status_code == 202
    assert "$500$" not in db.value("SELECT password_hash FROM users WHERE email = $1", veteran.email)


def test_row_31_too_many_wrong_passwords_are_refused_alike_for_everybody(as_shipped: Service, mailbox: Mailbox) -> None:
    with as_shipped.client() as at_home:
        known, stranger = new_person("known"), new_person("stranger")
        Walker(at_home, mailbox).register(known)
        told: list[list[object]] = []
        for person in (known, stranger):
            with as_shipped.walker() as walk:
                answers = [walk.post("/login", login=person.login, password="wrong again") for _ in range(11)]
                # The right one is no way round, or it would be known by being one.
                answers.append(walk.post("/login", login=person.login, password=person.password))
                assert [outcome(answer) for answer in answers] == [(401, "bad_credentials")] * 10 + [TOO_OFTEN] * 2
                told.append([(answer.status_code, answer.content) for answer in answers])
        assert told[0] == told[1]


# Row 32: /recover.


def test_row_32_a_recovery_is_answered_alike_whoever_has_an_account(
    walk: Walker, alice: Person, db: DatabaseInspector
) -> None:
    blocked, pending = new_person("blocked"), new_person("pending")
    walk.register(blocked)
    db.rows("UPDATE users SET blocked_at = now() WHERE email = $1", blocked.email)
    walk.open_registration(pending)
    addresses = [alice.email, alice.email.upper(), blocked.email, pending.email, nobody := new_person("nobody").email]
    seen = {email: visible_response(walk.post("/recover", email=email)) for email in addresses}
    assert {status for status, _, _ in seen.values()} == {202}
    assert len({repr(what) for what in seen.values()}) == 1, seen
    db.wait_until_all_mail_has_left()
    assert walk.mailbox.mails(nobody) == []


@pytest.mark.parametrize("flow", ["recover", "register"])
@pytest.mark.parametrize("refusal", ["550 5.1.1 No such mailbox", "450 4.2.1 Try later"])
def test_row_32_a_mail_server_that_refuses_the_address_changes_no_answer(
    refusal: str, flow: str, hasty: Service, choosy: Mailbox
) -> None:
    with watched(hasty, choosy) as (walk, db):
        known, stranger = new_person("known"), new_person("stranger")
        walk.register(known)
        db.wait_until_all_mail_has_left()
        choosy.reply = lambda to: refusal if to == known.email else None
        refused = "SELECT count(*) FROM outbox WHERE last_error LIKE '%' || $1 || '%'"
        told = []
        for person in (known, stranger):
            first = start(walk, flow, person)
            if person == known:
                eventually(lambda: db.value(refused, refusal[:3]) == 1, 10)
            resent = walk.post(f"/{flow}/resend", session_key=key_of(first))
            # Of a length that no code has here yet, so that no guess is right by chance.
            guesses = [walk.confirm(flow, key_of(first), "0" * 12) for _ in range(4)]
            second = start(walk, flow, person)
            assert [outcome(guess) for guess in guesses] == [WRONG_CODE] * 3 + [GONE]
            told.append(
                [without_seconds_left(resent), *(visible_response(answer) for answer in (first, *guesses, second))]
            )
        assert told[0] == told[1]
        choosy.reply = lambda _: None
        db.rows("DELETE FROM outbox WHERE last_error IS NOT NULL")


# Row 33: the codes.


def a_flow_to_its_end(walk: Walker, db: DatabaseInspector, flow: str, person: Person) -> list[VisibleResponse]:
    """Begin, guess wrong in every length that there is, and once more when nothing is left to guess at."""
    begun = start(walk, flow, person)
    db.wait_until_all_mail_has_left()
    wrong = a_wrong_code(newest_code(walk, person))
    guesses = [walk.confirm(flow, key_of(begun), guess) for guess in (wrong, "A" * 26, "1" * 12, wrong)]
    assert [outcome(guess) for guess in guesses] == [WRONG_CODE] * 3 + [GONE]
    return [visible_response(answer) for answer in (begun, *guesses)]


@pytest.mark.parametrize("flow", ["recover", "register"])
def test_row_33_eight_flows_are_answered_alike_while_the_codes_of_one_grow_longer(
    flow: str, hasty: Service, choosy: Mailbox
) -> None:
    with watched(hasty, choosy) as (walk, db):
        known, stranger = new_person("known"), new_person("stranger")
        walk.register(known)
        # A recovery mails the known address, and a registration the unknown one.
        mailed, unmailed = (known, stranger) if flow == "recover" else (stranger, known)
        already = {person: len(walk.codes(person.email)) for person in (known, stranger)}
        for _ in range(8):
            assert a_flow_to_its_end(walk, db, flow, known) == a_flow_to_its_end(walk, db, flow, stranger)
        lengths = [len(code) for code in walk.codes(mailed.email)[already[mailed] :]]
        assert lengths == [4, 6, 6, 8, 8, 12, 12, 12]
        assert len(walk.codes(unmailed.email)) == already[unmailed]


def test_row_33_eight_flows_of_a_flooded_address_are_answered_alike_as_shipped(
    as_shipped: Service, mailbox: Mailbox
) -> None:
    with watched(as_shipped, mailbox) as (walk, db):
        known, stranger = new_person("known"), new_person("stranger")
        walk.register(known)
        already = len(mailbox.mails(known.email))
        told: list[list[VisibleResponse]] = [[], []]
        for _ in range(8):
            for person, answers in zip((known, stranger), told, strict=True):
                begun = start(walk, "recover", person)
                db.wait_until_all_mail_has_left()
                # One guess each, so that the thermostat, which bears 20 a day, is not what is seen here.
                guess = walk.confirm("recover", key_of(begun), a_wrong_code(newest_code(walk, person)))
                answers += [visible_response(begun), visible_response(guess)]
        assert told[0] == told[1]
        assert len(mailbox.mails(known.email)) - already == 5
        assert mailbox.mails(stranger.email) == []


def test_row_33_codes_are_replaced_alike_when_the_thermostat_rises(serving: Serving, mailbox: Mailbox) -> None:
    with serving(workers=2, THERMOSTAT_RECOVER="5,500,5000") as service, watched(service, mailbox) as (walk, db):
        known, strangers = [new_person("known") for _ in range(3)], [new_person("stranger") for _ in range(3)]
        for person in known:
            walk.register(person)
        people = known + strangers
        keys = {person: key_of(start(walk, "recover", person)) for person in people}
        sprayed = [key_of(start(walk, "recover", new_person("sprayed"))) for _ in range(2)]
        db.wait_until_all_mail_has_left()
        for number in range(5):
            assert outcome(walk.confirm("recover", sprayed[number // 3], "0000")) == WRONG_CODE
        told = {}
        for person in people:
            # The right code, where there is one: too short by now, it is not even compared.
            answers = [walk.confirm("recover", keys[person], newest_code(walk, person))]
            db.wait_until_all_mail_has_left()
            wrong = a_wrong_code(newest_code(walk, person))
            answers += [walk.confirm("recover", keys[person], wrong) for _ in range(4)]
            assert [outcome(answer) for answer in answers] == [REPLACED] + [WRONG_CODE] * 3 + [GONE]
            told[person.email] = [visible_response(answer) for answer in answers]
        assert len({repr(answers) for answers in told.values()}) == 1
        assert [[len(code) for code in walk.codes(person.email)[1:]] for person in known] == [[4, 6]] * 3
        assert [mailbox.mails(person.email) for person in strangers] == [[]] * 3


@pytest.mark.parametrize("flow", ["recover", "register"])
def test_row_33_another_code_is_promised_alike_and_refused_alike(flow: str, hasty: Service, choosy: Mailbox) -> None:
    with watched(hasty, choosy) as (walk, db):
        known, stranger = new_person("known"), new_person("stranger")
        walk.register(known)
        told = []
        for person in (known, stranger):
            key = key_of(start(walk, flow, person))
            answers = [walk.post(f"/{flow}/resend", session_key=key) for _ in range(3)]
            assert [answer.status_code for answer in answers] == [202, 202, 429]
            db.wait_until_all_mail_has_left()
            told.append([without_seconds_left(answer) for answer in answers])
        assert told[0] == told[1]
        if flow == "recover":
            assert len(walk.codes(known.email)) > 1
            assert choosy.mails(stranger.email) == []
