"""The audit log: every security event, who, what, when and from where; masked, and not to be flooded."""

from __future__ import annotations

import time
from typing import Any
from uuid import UUID

from tests.conftest import Serving
from tests.support.service.process import AS_SHIPPED, SERVICE_CLIENT, Service
from tests.support.state.database_inspector import DatabaseInspector, inspect_database
from tests.support.state.eventually import eventually
from tests.support.users.flows import WRONG_CODE, outcome
from tests.support.users.people import Person, Walker, a_wrong_code, new_person
from tests.support.users.session_factory import SessionFactory


def lines(db: DatabaseInspector, **wanted: object) -> list[Any]:
    """What was written down, oldest first."""
    where = " AND ".join(f"{column} = ${number}" for number, column in enumerate(wanted, start=1))
    return db.rows(f"SELECT * FROM audit_log WHERE {where} ORDER BY id", *wanted.values())


def wait_for(db: DatabaseInspector, count: int, **wanted: object) -> list[Any]:
    """The same, once it happened so often: refusals are written down a moment later, and what is alike as one."""
    eventually(lambda: sum(line["times"] for line in lines(db, **wanted)) == count, within=10)
    return lines(db, **wanted)


def id_of(db: DatabaseInspector, person: Person) -> UUID:
    found: UUID = db.value("SELECT id FROM users WHERE email = $1", person.email)
    return found


def test_what_somebody_does_is_written_down_in_its_order(service: Service, walk: Walker, db: DatabaseInspector) -> None:
    walk.register(person := new_person("watched"))
    first, second = walk.open_session(person), walk.open_session(person)
    bearer = {"Authorization": f"Bearer {first.access}"}
    assert walk.log_out(second.access).status_code == 204
    assert walk.client.delete("/me/sessions", headers=bearer).status_code == 204
    renewed = walk.refresh(first.refresh).json()["refresh_token"]
    assert walk.client.post("/revoke", data={"token": renewed}, auth=SERVICE_CLIENT).status_code == 200
    walk.recover(person, "an owl in the barn")
    user_id = id_of(db, person)
    eventually(lambda: bool(lines(db, subject=user_id, event="password.accepted")), within=10)
    told = [line for line in lines(db, subject=user_id) if line["event"] != "password.accepted"]
    assert [line["event"] for line in told] == [
        "account.registered",
        "login.succeeded",
        "login.succeeded",
        "session.ended",
        "sessions.ended",
        "session.ended",
        "password.recovered",
    ]
    assert {line["actor"] for line in told} == {user_id}
    # From where: the neighbourhood of the client's address, and not the address.
    networks = {line["source"] for line in told}
    assert len(networks) == 1
    assert networks.pop().endswith(".0/24")


def test_what_is_refused_is_written_down_with_what_was_tried(walk: Walker, db: DatabaseInspector) -> None:
    # Nobody else's name begins so.
    walk.register(zoe := new_person("zoe"))
    user_id = id_of(db, zoe)
    walk.post("/login", login=zoe.login, password="not this one")
    key, code = walk.open_login(zoe)
    assert outcome(walk.confirm("login", key, a_wrong_code(code))) == WRONG_CODE
    key, code = walk.open_recovery(zoe)
    assert outcome(walk.confirm("recover", key, a_wrong_code(code))) == WRONG_CODE
    refused = wait_for(db, 1, event="password.refused", subject=user_id)
    assert refused[0]["details"] == "{}"
    assert refused[0]["actor"] is None
    guessed = wait_for(db, 1, event="code.refused", subject=user_id)
    assert guessed[0]["details"] == '{"email": "z***@example.com", "purpose": "login"}'
    # Whose address it is that a recovery is about is not looked at; what is written down is the same for a stranger's.
    started = wait_for(db, 1, event="recovery.started", details='{"email": "z***@example.com"}')
    assert started[0]["subject"] is None
    wait_for(db, 1, event="code.refused", details='{"email": "z***@example.com", "purpose": "recover"}')


def test_a_stranger_is_written_down_masked(walk: Walker, db: DatabaseInspector) -> None:
    walk.post("/recover", email="nobody-at-all@stranger.example")
    line = wait_for(db, 1, event="recovery.started", details='{"email": "n***@stranger.example"}')[0]
    assert line["subject"] is None
    assert not db.value("SELECT count(*) FROM audit_log WHERE details::text LIKE '%nobody-at-all%'")


def test_a_stolen_session_a_blocked_account_and_a_closed_door_are_written_down(
    service: Service, walk: Walker, db: DatabaseInspector
) -> None:
    walk.register(person := new_person("robbed"))
    user_id = id_of(db, person)
    tokens = SessionFactory(service, db).create(person)
    walk.refresh(walk.refresh(tokens.refresh).json()["refresh_token"])
    db.rows("UPDATE sessions SET replaced_at = ARRAY[now() - interval '1 hour', now() - interval '1 hour']")
    assert outcome(walk.refresh(tokens.refresh)) == (400, "invalid_grant")
    assert len(lines(db, event="session.stolen", subject=user_id)) == 1
    other = SessionFactory(service, db).create(person)
    answer = walk.client.get("/admin/roles", headers={"Authorization": f"Bearer {other.access}"})
    assert outcome(answer) == (403, "insufficient_scope")
    denied = wait_for(db, 1, event="access.denied", actor=user_id)[0]
    assert denied["details"] == '{"call": "GET /admin/roles", "needed": "role:read"}'
    key, code = walk.open_login(person)
    db.rows("UPDATE users SET blocked_at = now() WHERE id = $1", user_id)
    assert outcome(walk.confirm("login", key, code)) == (403, "account_blocked")
    assert len(lines(db, event="login.blocked", subject=user_id)) == 1


def test_a_flood_of_refusals_is_a_few_lines_with_a_count(serving: Serving, walk: Walker) -> None:
    with serving(**AS_SHIPPED) as service, inspect_database(service) as db, service.client() as client:
        for _ in range(60):
            client.post("/login", json={"login": "nobody", "password": "not this one"})
        # What is still waiting at the stop is written before it.
        assert service.stop() == 0
        rows = db.rows("SELECT event, sum(times) AS times, count(*) AS lines FROM audit_log GROUP BY event")
        found = {row["event"]: (row["times"], row["lines"]) for row in rows}
        assert found["password.refused"][0] + found["limit.reached"][0] == 60
        assert found["password.refused"][0] == 10
        assert sum(lines for _, lines in found.values()) < 30


def test_what_is_refused_while_the_log_cannot_be_written_is_written_down_later(
    walk: Walker, db: DatabaseInspector
) -> None:
    # Whoever reads or writes the table is locked out, and runs into his deadline.
    db.rows("BEGIN")
    db.rows("LOCK TABLE audit_log IN ACCESS EXCLUSIVE MODE")
    try:
        for _ in range(3):
            walk.post("/recover", email="patient@stranger.example")
        time.sleep(2.5)
    finally:
        db.rows("ROLLBACK")
    wait_for(db, 3, event="recovery.started", details='{"email": "p***@stranger.example"}')
