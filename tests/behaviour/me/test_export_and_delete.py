"""G4: an export holds everything that the service knows of a user, and a deletion leaves nothing but masked lines."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import httpx
import pytest

from backend.derived_keys import Keys
from backend.mail.sealed_recipient import RecipientEncryptor
from database.users import User
from devstack.mailbox import Mailbox
from models.values.locale import Locale
from tests.conftest import Serving
from tests.support.requests.burst import burst_of, outcomes
from tests.support.service.process import Service
from tests.support.state.database_inspector import DatabaseInspector, inspect_database
from tests.support.state.eventually import eventually
from tests.support.users.flows import GONE, WRONG_CODE, outcome
from tests.support.users.people import Person, Walker, a_wrong_code, new_person
from tests.support.users.session_factory import SessionFactory
from tests.support.users.signed_in import SignedIn

LAST = (409, "last_administrator")
TABLES = "SELECT table_name FROM information_schema.tables WHERE table_schema = 'public' AND table_type = 'BASE TABLE'"


@pytest.fixture(scope="module")
def keys(service: Service) -> Keys:
    return Keys([service.environment["SECRET_KEYS"]])


@pytest.fixture
def owner(walk: Walker, session_factory: SessionFactory) -> SignedIn:
    return an_owner(walk, session_factory)


def an_owner(walk: Walker, session_factory: SessionFactory) -> SignedIn:
    person = new_person("departing")
    walk.register(person)
    return SignedIn(walk, person, session_factory.create(person))


def id_of(db: DatabaseInspector, person: Person) -> UUID:
    user_id = db.value("SELECT id FROM users WHERE email = $1", person.email)
    return UUID(str(user_id))


def export_of(owner: SignedIn) -> dict[str, Any]:
    answer = owner.call("GET", "/me/export")
    assert answer.status_code == 200, answer.text
    told: dict[str, Any] = answer.json()
    return told


@dataclass(frozen=True, slots=True)
class Archive:
    """All that the servers hold, as text, by where it lies."""

    contents: dict[str, str]

    @classmethod
    def of(cls, db: DatabaseInspector) -> Archive:
        contents = {}
        for (table,) in db.rows(TABLES):
            contents[table] = "\n".join(str(dict(row)) for row in db.rows(f'SELECT * FROM "{table}"'))
        for key in db.valkey.scan_iter():
            kind = db.valkey.type(key)
            held = db.valkey.hgetall(key) if kind == b"hash" else db.valkey.dump(key)
            contents[f"valkey {key!r}"] = f"{key!r} {held!r}"
        return cls(contents)

    def places_of(self, *words: str) -> set[str]:
        """Where one of the words is found, in any case."""
        folded = [word.lower() for word in words]
        return {place for place, held in self.contents.items() if any(word in held.lower() for word in folded)}


# What is taken along.


def test_an_export_holds_the_account_its_sessions_its_log_its_mail_and_its_budgets(
    owner: SignedIn, walk: Walker, db: DatabaseInspector, keys: Keys
) -> None:
    person = owner.person
    user_id = id_of(db, person)
    key, code = walk.open_login(person)
    assert outcome(walk.confirm("login", key, a_wrong_code(code))) == WRONG_CODE
    second = walk.open_session(person)
    db.rows(
        "INSERT INTO outbox (kind, payload, give_up_at, failed_at) VALUES ('password_changed', $1, now(), now())",
        json.dumps({"user_id": str(user_id), "at": "2026-01-01T00:00:00+00:00"}),
    )
    db.rows(
        "INSERT INTO guess_budgets (subject, purpose, device, digits, guesses) VALUES ($1, 'email', '', 4, 3)",
        bytes.fromhex(keys.subject(person.email)),
    )
    eventually(lambda: "code.refused" in {line["event"] for line in export_of(owner)["audit_log"]}, within=5)
    answer = owner.call("GET", "/me/export")
    assert answer.headers["Content-Disposition"].startswith("attachment")
    assert answer.headers["Cache-Control"] == "no-store"
    told = answer.json()
    assert told["user"] == owner.call("GET", "/me").json()
    assert (told["blocked"], told["version"]) == (False, 1)
    assert told["password"] == {"algorithm": "pbkdf2_sha256", "iterations": 1000}
    assert told["sessions"] == owner.call("GET", "/me/sessions").json()
    assert len(told["sessions"]) == 2
    events = [line["event"] for line in told["audit_log"]]
    assert {"account.registered", "password.accepted", "login.succeeded", "account.exported"} <= set(events)
    assert {line["about"] for line in told["audit_log"]} == {"you"}
    assert told["audit_log"][-1]["event"] == "account.exported"
    [mail] = told["unsent_mails"]
    assert mail["kind"] == "password_changed"
    assert mail["failed_at"] is not None
    budgets = {(left["purpose"], left["digits"]) for left in told["guess_budgets"]}
    assert {("login", 4), ("email", 4)} <= budgets
    [reserved] = told["guesses_reserved"]
    assert (reserved["purpose"], reserved["digits"], reserved["guesses"]) == ("login", 4, 3)
    assert "30 minutes" in told["kept_for_minutes"]
    # Nothing that opens anything.
    _, _, *salt_and_hash = db.value("SELECT password_hash FROM users WHERE id = $1", user_id).split("$")
    for secret in (*salt_and_hash, second.access, second.refresh, person.password):
        assert secret not in answer.text


def test_a_long_export_is_whole_and_holds_nobody_up_and_is_cut_rather_than_wrong(
    serving: Serving, mailbox: Mailbox
) -> None:
    with (
        serving(LIMIT_EXPORTS="2/3600") as service,
        inspect_database(service) as db,
        service.client() as client,
        ThreadPoolExecutor(1) as elsewhere,
    ):
        owner = an_owner(Walker(client, mailbox), SessionFactory(service, db))
        # As whoever does something, or has it done to him, twenty thousand times; too much for the buffers of a socket.
        db.rows(
            "INSERT INTO audit_log (event, actor, subject, source, details) "
            "SELECT 'login.changed', CASE WHEN n % 3 > 0 THEN $1::uuid END, CASE WHEN n % 3 < 2 THEN $1::uuid END, "
            "'203.0.113.0/24', jsonb_build_object('number', n, 'filled', repeat('.', 1000)) "
            "FROM generate_series(1, 20000) AS n",
            id_of(db, owner.person),
        )
        export, answered = elsewhere.submit(owner.call, "GET", "/me/export"), 0
        while not export.done():
            assert service.get("/health/live").status_code == 200
            answered += 1
        assert answered >= 20
        lines = export.result().json()["audit_log"]
        numbers = [line["details"]["number"] for line in lines if "number" in line["details"]]
        assert numbers == list(range(1, 20001))
        assert lines[-1]["event"] == "account.exported"

        # PostgreSQL does not answer any more when the export has begun.
        with client.stream("GET", "/me/export", headers={"Authorization": owner.bearer}) as begun:
            assert begun.status_code == 200
            db.rows("BEGIN")
            db.rows("LOCK TABLE audit_log IN ACCESS EXCLUSIVE MODE")
            with pytest.raises(httpx.RemoteProtocolError):
                begun.read()
            db.rows("ROLLBACK")

        refused = owner.call("GET", "/me/export")
        assert outcome(refused) == (429, "too_many_requests")
        assert 0 < int(refused.headers["Retry-After"]) <= 1800


def test_an_export_says_nothing_of_other_people(owner: SignedIn, db: DatabaseInspector) -> None:
    other, user_id = UUID(int=4711), id_of(db, owner.person)
    for actor, subject in ((other, user_id), (user_id, other)):
        db.rows(
            "INSERT INTO audit_log (event, actor, subject, source) VALUES ('user.blocked', $1, $2, '203.0.113.0/24')",
            actor,
            subject,
        )
    told = export_of(owner)
    assert str(other) not in json.dumps(told)
    lines = [(line["by"], line["about"]) for line in told["audit_log"] if line["event"] == "user.blocked"]
    assert lines == [("somebody else", "you"), ("you", "somebody else")]


def test_an_export_holds_every_column_that_the_tables_have_of_a_user(owner: SignedIn, db: DatabaseInspector) -> None:
    # A table or a column that is added here belongs into the export, or its reason to stay out belongs beside it.
    kept_out = {
        "users": {"password_hash", "login_canonical"},  # a secret, and the login once more
        "sessions": {"user_id", "token", "replaced", "replaced_at"},  # digests of secrets, and when
        "audit_log": {"id"},
        "outbox": {"id", "payload", "attempts", "last_error"},  # ids, and what the mail servers have said
        "guess_budgets": {"subject"},
        "guess_reservations": {"flow_id", "subject"},
    }
    told = {
        "users": {"id", "email", "login", "locale", "version", "blocked_at", "created_at"},
        "sessions": {"id", "user_agent", "created_at", "rotated_at", "ends_at"},
        "audit_log": {"at", "event", "actor", "subject", "source", "details", "times"},
        "outbox": {"kind", "created_at", "due_at", "give_up_at", "failed_at"},
        "guess_budgets": {"purpose", "device", "digits", "guesses", "refilled_at"},
        "guess_reservations": {"purpose", "device", "digits", "guesses", "settle_at"},
    }
    nobodys = {"alembic_version", "permissions", "roles", "role_permissions", "signing_keys", "used_flow"}
    tables = {table for (table,) in db.rows(TABLES)}
    assert tables - nobodys == {*told, "user_roles"}
    for table, columns in told.items():
        query = "SELECT column_name FROM information_schema.columns WHERE table_schema = 'public' AND table_name = $1"
        assert {name for (name,) in db.rows(query, table)} == columns | kept_out[table], table


# What is left.


def test_after_a_deletion_nothing_is_left_but_masked_lines(
    owner: SignedIn, walk: Walker, db: DatabaseInspector, session_factory: SessionFactory, keys: Keys
) -> None:
    person, elsewhere = owner.person, session_factory.create(owner.person)
    user_id = id_of(db, person)
    # Something of everything: wrong codes, wrong passwords, a change of name, mail that could not be sent.
    key, code = walk.open_login(person)
    assert outcome(walk.confirm("login", key, a_wrong_code(code))) == WRONG_CODE
    assert walk.confirm("login", key, code).status_code == 200
    walk.post("/login", login=person.login, password="wrong horse")
    walk.post("/login", login=person.email, password="wrong horse")
    renamed = f"renamed.{person.login}"
    assert owner.call("PUT", "/me/login", password=person.password, login=renamed).status_code == 200
    db.rows(
        "INSERT INTO outbox (kind, payload, give_up_at, failed_at) VALUES ('session_ended', $1, now(), now())",
        json.dumps({"user_id": str(user_id), "at": "2026-01-01T00:00:00+00:00"}),
    )
    key, code = owner.open_deletion()
    db.wait_until_all_mail_has_left()
    before = Archive.of(db)
    assert before.places_of(person.email) >= {"users"}, "the search finds nothing, so that nothing is proved"

    answer = owner.confirm("delete", key, code)
    assert (answer.status_code, answer.content) == (204, b"")
    for token in (owner.session.access, elsewhere.access):
        assert outcome(walk.me(token)) == (401, "invalid_token")
    assert outcome(walk.refresh(elsewhere.refresh)) == (400, "invalid_grant")
    assert outcome(walk.post("/login", login=renamed, password=person.password)) == (401, "bad_credentials")
    eventually(lambda: any("was deleted" in mail.subject for mail in walk.mailbox.mails(person.email)), within=10)
    assert renamed in walk.mailbox.mails(person.email)[-1].text
    assert outcome(owner.confirm("delete", key, code)) == (401, "invalid_token")

    db.wait_until_all_mail_has_left()
    query = "SELECT count(*) FROM audit_log WHERE subject = $1 AND event = 'account.deletion_started'"
    eventually(lambda: db.value(query, user_id) == 1, within=5)
    after = Archive.of(db)
    # A log-in that was begun with the wrong password leaves no flow; what was never closed ends within half an hour.
    assert after.places_of(person.email, person.login, renamed) == set()
    # Of the id: a count of wrong passwords and, where a token was shown a moment ago, that the account is being read.
    for_moments = {
        place for place, held in after.contents.items() if "bucket:own-password" in place or "lease:" in held
    }
    assert after.places_of(str(user_id), user_id.hex, repr(user_id.bytes)) <= {"audit_log", *for_moments}
    named = bytes.fromhex(keys.subject(person.email))
    for table in ("guess_budgets", "guess_reservations"):
        assert db.rows(f"SELECT * FROM {table} WHERE subject = ANY($1)", [user_id.bytes, named]) == []
    lines = db.rows("SELECT event, details FROM audit_log WHERE subject = $1", user_id)
    assert {"account.registered", "login.changed", "account.deleted"} <= {line["event"] for line in lines}
    assert any("d***@example.com" in line["details"] for line in lines)
    # The address is free again.
    again = Person(person.email, person.login, "another horse, another battery")
    walk.register(again)


def test_a_deletion_needs_the_right_code_and_an_account_that_is_as_it_was(
    owner: SignedIn, db: DatabaseInspector
) -> None:
    key, code = owner.open_deletion()
    assert owner.confirm("delete", key, a_wrong_code(code)).json()["attempts_left"] == 2
    new = "another horse, another battery"
    changed = owner.call("PUT", "/me/password", current_password=owner.person.password, password=new)
    assert changed.status_code == 204
    assert outcome(owner.confirm("delete", key, code)) == GONE
    assert id_of(db, owner.person)


def test_who_deletes_an_account_that_he_took_over_cannot_unsay_that_its_address_was_changed(
    owner: SignedIn, walk: Walker, db: DatabaseInspector, keys: Keys
) -> None:
    person = owner.person
    [row] = db.rows("SELECT * FROM users WHERE email = $1", person.email)
    user = User(row["id"], "", "", "", Locale.EN, 1, blocked_at=None, created_at=row["created_at"])
    rightful = new_person("rightful")
    told = RecipientEncryptor(keys).encrypt(
        User(user.id, rightful.email, rightful.login, "", Locale.RU, 1, blocked_at=None, created_at=user.created_at)
    )
    # A notice to the old address that waits for a mail server, and one to the account itself.
    for kind, more in (("email_changed", {"sealed": told}), ("login_changed", {})):
        db.rows(
            "INSERT INTO outbox (kind, payload, due_at, give_up_at) "
            "VALUES ($1, $2, now() + interval '1 hour', now() + interval '2 days')",
            kind,
            json.dumps({"user_id": str(user.id), "at": "2026-01-01T00:00:00+00:00"} | more),
        )
    assert Archive.of(db).places_of(rightful.email, rightful.login) == set()
    assert owner.confirm("delete", *owner.open_deletion()).status_code == 204
    db.rows("UPDATE outbox SET due_at = now() WHERE kind IN ('email_changed', 'login_changed')")
    eventually(lambda: len(walk.mailbox.mails(rightful.email)) == 1, within=10)
    [mail] = walk.mailbox.mails(rightful.email)
    assert "Адрес" in mail.subject
    assert rightful.login in mail.text
    db.wait_until_all_mail_has_left()
    assert not [mail for mail in walk.mailbox.mails(person.email) if "login at Auth was changed" in mail.subject]


def make_administrators(db: DatabaseInspector, *owners: SignedIn) -> None:
    """These and nobody else."""
    db.rows("DELETE FROM user_roles WHERE role = 'admin'")
    for owner in owners:
        user_id = id_of(db, owner.person)
        db.rows("INSERT INTO user_roles (user_id, role) VALUES ($1, 'admin')", user_id)
        db.valkey.delete(f"user:{{{user_id}}}")


def test_the_last_administrator_stays_until_there_is_another(
    owner: SignedIn, walk: Walker, db: DatabaseInspector, session_factory: SessionFactory
) -> None:
    blocked, successor = an_owner(walk, session_factory), an_owner(walk, session_factory)
    make_administrators(db, owner, blocked)
    db.rows("UPDATE users SET blocked_at = now() WHERE email = $1", blocked.person.email)
    key, code = owner.open_deletion()
    for _ in range(4):
        assert outcome(owner.confirm("delete", key, code)) == LAST
    assert owner.call("GET", "/me").status_code == 200
    make_administrators(db, owner, blocked, successor)
    assert owner.confirm("delete", key, code).status_code == 204


def test_of_eight_administrators_who_leave_at_once_one_stays(
    service: Service, walk: Walker, db: DatabaseInspector, session_factory: SessionFactory
) -> None:
    leaving = [an_owner(walk, session_factory) for _ in range(8)]
    make_administrators(db, *leaving)
    flows = [(one, *one.open_deletion()) for one in leaving]
    calls = [one.request("POST", "/me/delete/confirm", session_key=key, code=code) for one, key, code in flows]
    assert outcomes(burst_of(service, calls)) == {(204, ""): 7, LAST: 1}
    assert db.value("SELECT count(*) FROM user_roles WHERE role = 'admin'") == 1


def test_a_deletion_sent_thirty_two_times_at_once_is_done_once(
    owner: SignedIn, service: Service, db: DatabaseInspector, walk: Walker
) -> None:
    key, code = owner.open_deletion()
    user_id = id_of(db, owner.person)
    answers = burst_of(service, [owner.request("POST", "/me/delete/confirm", session_key=key, code=code)] * 32)
    seen = outcomes(answers)
    assert seen.pop((204, "")) == 1
    assert set(seen) <= {GONE, (401, "invalid_token")}
    deleted = "SELECT count(*) FROM audit_log WHERE subject = $1 AND event = 'account.deleted'"
    assert db.value(deleted, user_id) == 1
    db.wait_until_all_mail_has_left()
    assert len([mail for mail in walk.mailbox.mails(owner.person.email) if "was deleted" in mail.subject]) == 1
