"""/me: what an owner changes, what that asks for, and who is told."""

from __future__ import annotations

import re
from typing import Any

import asyncpg
import httpx
import pytest

from backend.derived_keys import Keys
from backend.protection.known_devices import KnownDevices
from devstack.mailbox import Mailbox
from devstack.stack import Stack
from tests.conftest import Serving
from tests.support.requests.burst import burst_of, outcomes
from tests.support.service.process import Service
from tests.support.state.database_inspector import DatabaseInspector, inspect_database
from tests.support.state.eventually import eventually
from tests.support.users.flows import GONE, MALFORMED, WRONG_CODE, outcome
from tests.support.users.people import Person, Walker, a_wrong_code, is_about, new_person
from tests.support.users.session_factory import SessionFactory
from tests.support.users.signed_in import SignedIn

INVALID = (401, "invalid_token")
WRONG_PASSWORD = (403, "wrong_password")
TAKEN = (409, "login_taken")
ANOTHER = "another horse, another battery"


@pytest.fixture
def owner(walk: Walker, session_factory: SessionFactory, alice: Person) -> SignedIn:
    return SignedIn(walk, alice, session_factory.create(alice))


@pytest.fixture
def other(walk: Walker, session_factory: SessionFactory) -> SignedIn:
    person = new_person("other")
    walk.register(person)
    return SignedIn(walk, person, session_factory.create(person))


def may_log_in(walk: Walker, identifier: str, password: str) -> bool:
    answer = walk.post("/login", login=identifier, password=password)
    assert outcome(answer) in ((202, ""), (401, "bad_credentials"))
    return answer.status_code == 202


def is_told(walk: Walker, email: str, subject: str) -> bool:
    """Whether a notice reaches the address; notices carry no code."""
    eventually(lambda: any(subject in mail.subject for mail in walk.mailbox.mails(email)), within=10)
    [notice] = [mail for mail in walk.mailbox.mails(email) if subject in mail.subject]
    return notice.code is None


def audited(db: DatabaseInspector, user_id: object, event: str) -> list[Any]:
    """Lines of the audit log about a user; what changes nothing is written a second later."""
    query = "SELECT details, source, actor FROM audit_log WHERE subject = $1 AND event = $2"
    eventually(lambda: bool(db.rows(query, user_id, event)), within=5)
    return db.rows(query, user_id, event)


def row_of(db: DatabaseInspector, owner: SignedIn) -> Any:
    [row] = db.rows("SELECT * FROM users WHERE email = $1", owner.person.email)
    return row


# The password.


def test_a_new_password_ends_all_other_sessions_and_what_was_begun_with_the_old_one(
    owner: SignedIn, walk: Walker, session_factory: SessionFactory, db: DatabaseInspector
) -> None:
    elsewhere = session_factory.create(owner.person)
    pending = walk.open_login(owner.person)
    moving = owner.open_email_change(f"new-{owner.person.email}")
    answer = owner.call("PUT", "/me/password", current_password=owner.person.password, password=ANOTHER)
    assert (answer.status_code, answer.content) == (204, b"")
    assert owner.call("GET", "/me").status_code == 200
    assert walk.refresh(owner.session.refresh).status_code == 200
    assert outcome(walk.me(elsewhere.access)) == INVALID
    assert outcome(walk.refresh(elsewhere.refresh)) == (400, "invalid_grant")
    assert outcome(walk.confirm("login", *pending)) == GONE
    assert outcome(owner.confirm("email", *moving)) == GONE
    assert not may_log_in(walk, owner.person.login, owner.person.password)
    assert may_log_in(walk, owner.person.login, ANOTHER)
    assert is_told(walk, owner.person.email, "password at Auth was changed")
    assert len(audited(db, row_of(db, owner)["id"], "password.changed")) == 1


@pytest.mark.parametrize(
    ("password", "refusal"), [("password123", (422, "weak_password")), ("short", MALFORMED), ("alice", MALFORMED)]
)
def test_a_new_password_obeys_the_rules_of_registration(
    password: str, refusal: tuple[int, str], owner: SignedIn, db: DatabaseInspector
) -> None:
    before = row_of(db, owner)
    sent = {"current_password": owner.person.password, "password": password}
    assert outcome(owner.call("PUT", "/me/password", **sent)) == refusal
    own_words = {**sent, "password": f"{owner.person.login}-1"}
    assert outcome(owner.call("PUT", "/me/password", **own_words)) == (422, "weak_password")
    assert row_of(db, owner) == before


def test_without_the_right_password_nothing_is_changed(owner: SignedIn, db: DatabaseInspector) -> None:
    before = row_of(db, owner)
    for method, path, body in (
        ("PUT", "/me/password", {"current_password": "wrong horse", "password": ANOTHER}),
        ("PUT", "/me/login", {"password": "wrong horse", "login": "usurper"}),
        ("POST", "/me/email", {"password": "wrong horse", "email": "usurper@example.com"}),
    ):
        answer = owner.call(method, path, **body)
        # A 401 would have a client throw its token away.
        assert outcome(answer) == WRONG_PASSWORD, path
        assert "WWW-Authenticate" not in answer.headers
    assert row_of(db, owner) == before
    assert not owner.walk.mailbox.mails("usurper@example.com")
    assert audited(db, before["id"], "password.refused")[0]["actor"] == before["id"]


def test_wrong_passwords_are_limited_by_account_and_right_ones_are_given_back(
    serving: Serving, walk: Walker, alice: Person
) -> None:
    with (
        serving(LIMIT_DEVICE_PASSWORDS="3/900", LIMIT_PASSWORDS="3/900") as service,
        service.client() as client,
        inspect_database(service) as db,
    ):
        limited = Walker(client, walk.mailbox)
        limited.register(alice)
        owner = SignedIn(limited, alice, SessionFactory(service, db).create(alice))
        for _ in range(5):
            assert limited.post("/login", login=alice.login, password="wrong horse").status_code in (401, 429)
        # Whoever guesses at /login does not keep the owner from a change, nor does he who is right use anything up.
        for number in range(5):
            sent = {"password": alice.password, "login": f"{alice.login}.{number}"}
            assert owner.call("PUT", "/me/login", **sent).status_code == 200
        for method, path, name in (
            ("PUT", "/me/password", "current_password"),
            ("PUT", "/me/login", "password"),
            ("POST", "/me/email", "password"),
        ):
            more = {"password": ANOTHER} if path == "/me/password" else {"login": "x-x"} if "login" in path else {}
            more |= {"email": "x@example.com"} if path == "/me/email" else {}
            assert outcome(owner.call(method, path, **more, **{name: "wrong horse"})) == WRONG_PASSWORD
        # The right one is refused like a wrong one, from any address.
        with service.client() as elsewhere:
            again = SignedIn(Walker(elsewhere, walk.mailbox), alice, owner.session)
            answer = again.call("PUT", "/me/login", password=alice.password, login="too-late")
        assert outcome(answer) == (429, "too_many_requests")
        assert int(answer.headers["Retry-After"]) > 0


def test_of_eight_changes_at_once_with_one_password_one_is_made(
    owner: SignedIn, service: Service, walk: Walker
) -> None:
    wanted = [f"battery number {number} of a horse" for number in range(8)]
    current = owner.person.password
    calls = [owner.request("PUT", "/me/password", current_password=current, password=one) for one in wanted]
    answers = burst_of(service, calls)
    assert outcomes(answers) == {(204, ""): 1, WRONG_PASSWORD: 7}
    [winner] = [one for one, answer in zip(wanted, answers, strict=True) if answer.status == 204]
    assert [may_log_in(walk, owner.person.login, one) for one in wanted] == [one == winner for one in wanted]


# The login.


def test_a_new_login_takes_the_place_of_the_old_one(owner: SignedIn, walk: Walker, db: DatabaseInspector) -> None:
    person, new = owner.person, f"New.{owner.person.login}"
    answer = owner.call("PUT", "/me/login", password=person.password, login=new)
    assert answer.status_code == 200, answer.text
    assert answer.json() == owner.call("GET", "/me").json()
    assert answer.json()["login"] == new
    assert not may_log_in(walk, person.login, person.password)
    assert may_log_in(walk, new.lower(), person.password)
    assert is_told(walk, person.email, "login at Auth was changed")
    [line] = audited(db, row_of(db, owner)["id"], "login.changed")
    assert person.login not in line["details"]


def test_a_taken_login_is_refused_in_any_case_and_the_own_one_may_change_its_case(
    owner: SignedIn, other: SignedIn
) -> None:
    password = owner.person.password
    taken = owner.call("PUT", "/me/login", password=password, login=other.person.login.upper())
    assert outcome(taken) == TAKEN
    own = owner.call("PUT", "/me/login", password=password, login=owner.person.login.upper())
    assert own.json()["login"] == owner.person.login.upper()
    assert outcome(owner.call("PUT", "/me/login", password=password, login="no spaces")) == MALFORMED


def test_of_two_accounts_that_race_for_one_login_one_wins(owner: SignedIn, other: SignedIn, service: Service) -> None:
    for number in range(5):
        wanted = f"coveted-{owner.person.login}-{number}"
        calls = [one.request("PUT", "/me/login", password=one.person.password, login=wanted) for one in (owner, other)]
        assert outcomes(burst_of(service, calls)) == {(200, ""): 1, TAKEN: 1}


# The language.


def test_mails_come_in_the_language_of_choice(owner: SignedIn, walk: Walker) -> None:
    answer = owner.call("PUT", "/me/locale", locale="ru")
    assert (answer.status_code, answer.json()["locale"]) == (200, "ru")
    assert owner.call("GET", "/me").json()["locale"] == "ru"
    walk.open_login(owner.person)
    assert "вход" in walk.mailbox.mails(owner.person.email)[-1].subject
    assert outcome(owner.call("PUT", "/me/locale", locale="tlh")) == MALFORMED


def test_the_same_language_once_more_is_no_change(owner: SignedIn, db: DatabaseInspector) -> None:
    user_id = row_of(db, owner)["id"]
    for locale in ("ru", "ru", "ru", "en", "en"):
        answer = owner.call("PUT", "/me/locale", locale=locale)
        assert (answer.status_code, answer.json()["locale"]) == (200, locale)
    assert len(audited(db, user_id, "locale.changed")) == 2


# The address.


def test_a_new_address_takes_effect_after_its_code_and_the_old_one_is_told(
    owner: SignedIn, service: Service, walk: Walker, db: DatabaseInspector
) -> None:
    person, new = owner.person, f"new-{owner.person.email}"
    pending = {"login": walk.open_login(person), "recover": walk.open_recovery(person)}
    deletion = owner.open_deletion()
    key, code = owner.open_email_change(new)
    assert owner.call("GET", "/me").json()["email"] == person.email
    assert may_log_in(walk, person.email, person.password)
    user_id = row_of(db, owner)["id"]
    answer = owner.call("POST", "/me/email/confirm", session_key=key, code=code)
    assert answer.status_code == 200, answer.text
    assert answer.json()["email"] == owner.call("GET", "/me").json()["email"] == new
    [device_tokens] = re.findall(r"__Host-device=([^;]+)", answer.headers["Set-Cookie"])
    devices = KnownDevices(Keys([service.environment["SECRET_KEYS"]]), ttl=60)
    assert devices.recognise(device_tokens, new) == devices.recognise(device_tokens, person.login) != ""
    assert devices.recognise(device_tokens, person.email) == ""
    assert not may_log_in(walk, person.email, person.password)
    assert may_log_in(walk, new, person.password)
    # What was begun with the old address is dead.
    assert outcome(walk.confirm("login", *pending["login"])) == GONE
    assert outcome(walk.confirm("recover", *pending["recover"])) == GONE
    assert outcome(owner.confirm("delete", *deletion)) == GONE
    assert is_told(walk, person.email, "address at Auth was changed")
    assert not [mail for mail in walk.mailbox.mails(new) if "was changed" in mail.subject]
    for event in ("email.change_started", "email.changed"):
        [line] = audited(db, user_id, event)
        assert person.email not in line["details"]
        assert new not in line["details"]
    # The session lives on, and a code is good once.
    assert outcome(owner.confirm("email", key, code)) == GONE


def test_a_taken_address_is_answered_like_a_free_one_and_its_owner_is_told(
    owner: SignedIn, other: SignedIn, walk: Walker
) -> None:
    free = owner.change_email(f"free-{owner.person.email}")
    taken = owner.change_email(other.person.email)
    assert taken.status_code == free.status_code == 202
    assert taken.json() | {"session_key": ""} == free.json() | {"session_key": ""}
    assert is_told(walk, other.person.email, "already has an account")
    assert not walk.codes(other.person.email, "email")
    key = taken.json()["session_key"]
    answers = [owner.confirm("email", key, f"{number:04d}") for number in range(4)]
    assert [outcome(answer) for answer in answers] == [WRONG_CODE] * 3 + [GONE]


def test_somebody_elses_token_neither_uses_nor_spends_a_session_key(owner: SignedIn, other: SignedIn) -> None:
    flows = {"email": owner.open_email_change(f"new-{owner.person.email}"), "delete": owner.open_deletion()}
    for flow, (key, code) in flows.items():
        for _ in range(4):
            assert outcome(other.confirm(flow, key, a_wrong_code(code))) == GONE
        assert outcome(other.confirm(flow, key, code)) == GONE
        assert outcome(other.call("POST", f"/me/{flow}/resend", session_key=key)) == GONE
        assert outcome(owner.call("POST", f"/me/{flow}/resend", session_key=key)) == (429, "too_soon")
        assert owner.confirm(flow, key, a_wrong_code(code)).json()["attempts_left"] == 2
    assert owner.confirm("email", *flows["email"]).status_code == 200


def test_session_keys_of_one_flow_are_nothing_to_another(owner: SignedIn, walk: Walker) -> None:
    key, code = owner.open_email_change(f"new-{owner.person.email}")
    assert outcome(owner.confirm("delete", key, code)) == GONE
    assert outcome(walk.confirm("login", key, code)) == GONE
    login_key, login_code = walk.open_login(owner.person)
    assert outcome(owner.confirm("email", login_key, login_code)) == GONE


def test_of_two_accounts_that_race_for_one_address_one_wins(
    owner: SignedIn, other: SignedIn, service: Service, db: DatabaseInspector, walk: Walker
) -> None:
    for number in range(3):
        coveted = f"coveted-{number}-{owner.person.email}"
        flows = [(one, *one.open_email_change(coveted)) for one in (owner, other)]
        calls = [one.request("POST", "/me/email/confirm", session_key=key, code=code) for one, key, code in flows]
        answers = burst_of(service, calls)
        assert outcomes(answers) == {(200, ""): 1, GONE: 1}
        assert len(db.rows("SELECT id FROM users WHERE email = $1", coveted)) == 1
        # The loser's flow is over: there is nothing to try again, nor to ask for.
        [loser] = [flow for flow, answer in zip(flows, answers, strict=True) if answer.status == 410]
        assert outcome(loser[0].confirm("email", *loser[1:])) == GONE
        assert outcome(loser[0].call("POST", "/me/email/resend", session_key=loser[1])) == GONE


def test_an_address_that_was_registered_meanwhile_is_gone(owner: SignedIn, walk: Walker) -> None:
    quick = new_person("quick")
    flow = owner.open_email_change(quick.email)
    walk.register(quick)
    assert outcome(owner.confirm("email", *flow)) == GONE
    assert owner.call("GET", "/me").json()["email"] == owner.person.email


def test_what_is_taken_is_not_written_into_the_log_of_postgresql(
    owner: SignedIn, other: SignedIn, db: DatabaseInspector, walk: Walker, stack: Stack
) -> None:
    quick, already = new_person("quick"), stack.postgres.log.stat().st_size
    flow = owner.open_email_change(quick.email)
    walk.register(quick)
    assert outcome(owner.confirm("email", *flow)) == GONE
    taken = owner.call("PUT", "/me/login", password=owner.person.password, login=other.person.login)
    assert outcome(taken) == TAKEN
    assert "duplicate key" not in stack.postgres.log.read_text()[already:]
    # Even a race, which PostgreSQL alone decides, leaves no name there.
    for column, value in (("email", quick.email), ("login_canonical", quick.login)):
        with pytest.raises(asyncpg.UniqueViolationError):
            db.rows(f"UPDATE users SET {column} = $1 WHERE email = $2", value, owner.person.email)
    told = stack.postgres.log.read_text()[already:]
    assert told.count("duplicate key") == 2
    for name in (quick.email, quick.login, other.person.login):
        assert name not in told


def test_thirty_two_right_codes_at_once_change_the_address_once(
    owner: SignedIn, service: Service, db: DatabaseInspector, walk: Walker
) -> None:
    key, code = owner.open_email_change(f"new-{owner.person.email}")
    version = row_of(db, owner)["version"]
    user_id = row_of(db, owner)["id"]
    answers = burst_of(service, [owner.request("POST", "/me/email/confirm", session_key=key, code=code)] * 32)
    assert outcomes(answers) == {(200, ""): 1, GONE: 31}
    assert db.value("SELECT version FROM users WHERE id = $1", user_id) == version + 1
    db.wait_until_all_mail_has_left()
    assert is_told(walk, owner.person.email, "address at Auth was changed")


def test_another_code_for_the_new_address_replaces_the_first(serving: Serving, walk: Walker, alice: Person) -> None:
    with serving(CODE_RESEND_AFTER="0") as service, service.client() as client, inspect_database(service) as db:
        hasty = Walker(client, walk.mailbox)
        hasty.register(alice)
        owner = SignedIn(hasty, alice, SessionFactory(service, db).create(alice))
        flows = {"email": f"new-{alice.email}", "delete": alice.email}
        keys = {"email": owner.open_email_change(flows["email"]), "delete": owner.open_deletion()}
        for flow, to in flows.items():
            key, first = keys[flow]
            answer: httpx.Response = owner.call("POST", f"/me/{flow}/resend", session_key=key)
            assert (answer.status_code, answer.json()["next"]) == (202, f"/me/{flow}/confirm")
            second = hasty.next_code(to, 1, flow)
            assert is_about(hasty.mailbox.mails(to)[-1], flow)
            assert first == second or outcome(owner.confirm(flow, key, first)) == WRONG_CODE
            keys[flow] = key, second
        # A change of address ends what was begun before it, a deletion everything.
        assert owner.confirm("email", *keys["email"]).status_code == 200
        assert outcome(owner.confirm("delete", *keys["delete"])) == GONE


def test_the_old_address_waits_sealed_until_its_mail_server_takes_the_notice(
    owner: SignedIn, walk: Walker, db: DatabaseInspector, mailbox: Mailbox
) -> None:
    person = owner.person
    db.wait_until_all_mail_has_left()
    mailbox.reply = lambda to: "450 4.2.0 later" if to == person.email else None
    try:
        assert owner.confirm("email", *owner.open_email_change("moved@example.com")).status_code == 200
        waiting = "SELECT payload::text AS payload, last_error FROM outbox WHERE kind = 'email_changed'"
        eventually(lambda: db.rows(waiting)[0]["last_error"] is not None, within=10)
        [job] = db.rows(waiting)
        assert person.email not in str(job)
        assert person.login not in str(job)
    finally:
        mailbox.reply = lambda _: None
    assert not db.rows("SELECT 1 FROM users WHERE email = $1", person.email)
    db.rows("UPDATE outbox SET due_at = now()")
    assert is_told(walk, person.email, "address at Auth was changed")
    assert person.login in walk.mailbox.mails(person.email)[-1].text
