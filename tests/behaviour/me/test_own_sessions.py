"""/me/sessions and /logout: where a user is signed in, and how that ends."""

from __future__ import annotations

import json
import uuid
from typing import Any

import httpx
import pytest

from tests.support.requests.burst import burst, burst_of, outcomes, post
from tests.support.service.process import Service
from tests.support.state.database_inspector import DatabaseInspector
from tests.support.users.flows import MALFORMED, outcome
from tests.support.users.people import Person, Tokens, Walker, new_person

NOBODYS = uuid.UUID(int=7)
INVALID = (401, "invalid_token")
NO_GRANT = (400, "invalid_grant")


def bearer(tokens: Tokens) -> dict[str, str]:
    return {"Authorization": f"Bearer {tokens.access}"}


def listed(walk: Walker, tokens: Tokens) -> list[dict[str, Any]]:
    answer = walk.client.get("/me/sessions", headers=bearer(tokens))
    assert answer.status_code == 200, answer.text
    sessions: list[dict[str, Any]] = answer.json()
    return sessions


def is_over(walk: Walker, tokens: Tokens) -> bool:
    """Whether both tokens of the session are refused; it is for good or not at all."""
    answers = outcome(walk.me(tokens.access)), outcome(walk.refresh(tokens.refresh))
    assert answers in ((INVALID, NO_GRANT), ((200, ""), (200, ""))), answers
    return answers == (INVALID, NO_GRANT)


# What is listed.


def test_each_log_in_is_a_session_with_its_program_and_its_times(service: Service, walk: Walker, alice: Person) -> None:
    with service.client(headers={"User-Agent": "Owl/7 (barn)"}) as client:
        first = Walker(client, walk.mailbox).open_session(alice)
    second = walk.open_session(alice)
    newest, oldest = listed(walk, second)
    assert (newest["current"], oldest["current"]) == (True, False)
    assert oldest["user_agent"] == "Owl/7 (barn)"
    assert newest["user_agent"].startswith("python-httpx")
    assert oldest["created_at"] == oldest["last_used_at"] < newest["created_at"] < newest["expires_at"]
    refreshed = Tokens.of(walk.refresh(first.refresh))
    _, oldest = listed(walk, refreshed)
    assert oldest["current"]
    assert oldest["created_at"] < oldest["last_used_at"]


@pytest.mark.parametrize("agent", [b"", b"\xff\xfe odd", b"x" * 5_000, b"<script>alert(1)</script>", b"a\tb"])
def test_an_odd_program_is_signed_in_all_the_same(agent: bytes, service: Service, walk: Walker, alice: Person) -> None:
    with service.client() as client:
        client.headers = httpx.Headers({b"User-Agent": agent})
        tokens = Walker(client, walk.mailbox).open_session(alice)
    [session] = listed(walk, tokens)
    assert len(session["user_agent"]) <= 200
    assert session["user_agent"].isprintable()


def test_nobody_sees_the_sessions_of_others(walk: Walker, alice: Person, bob: Person) -> None:
    walk.register(bob)
    mine, his = walk.open_session(alice), walk.open_session(bob)
    assert {entry["id"] for entry in listed(walk, mine)}.isdisjoint(entry["id"] for entry in listed(walk, his))


# How they end.


def test_a_logout_ends_the_session_it_is_called_in_and_no_other(walk: Walker, alice: Person) -> None:
    mine, other = walk.open_session(alice), walk.open_session(alice)
    assert not is_over(walk, other)
    assert walk.log_out(mine.access).status_code == 204
    assert is_over(walk, mine)
    assert outcome(walk.log_out(mine.access)) == INVALID
    assert walk.me(other.access).status_code == 200


def test_a_refresh_token_is_enough_to_log_out_also_one_that_was_used(walk: Walker, alice: Person) -> None:
    one, two = walk.open_session(alice), walk.open_session(alice)
    assert walk.post("/logout", refresh_token=one.refresh).status_code == 204
    assert is_over(walk, one)
    assert outcome(walk.post("/logout", refresh_token=one.refresh)) == INVALID
    successor = Tokens.of(walk.refresh(two.refresh))
    assert walk.post("/logout", refresh_token=two.refresh).status_code == 204
    assert is_over(walk, successor)


def test_a_logout_needs_one_or_the_other(walk: Walker, alice: Person) -> None:
    tokens = walk.open_session(alice)
    assert outcome(walk.client.post("/logout")) == INVALID
    assert outcome(walk.post("/logout")) == MALFORMED
    assert outcome(walk.post("/logout", refresh_token="x")) == INVALID
    assert outcome(walk.post("/logout", refresh_token=tokens.refresh[:22] + "A" * 64)) == INVALID
    assert not is_over(walk, tokens)


def test_an_expired_access_token_beside_the_refresh_token_keeps_nobody_signed_in(walk: Walker, alice: Person) -> None:
    tokens = walk.open_session(alice)
    headers = {"Authorization": "Bearer no.longer.good"}
    assert walk.client.post("/logout", json={"refresh_token": tokens.refresh}, headers=headers).status_code == 204
    assert is_over(walk, tokens)


def test_twenty_logouts_at_once_are_twenty_successes_or_come_too_late(
    service: Service, walk: Walker, alice: Person
) -> None:
    tokens = walk.open_session(alice)
    calls = [post("/logout", b"", f"Authorization: Bearer {tokens.access}")] * 10
    calls += [post("/logout", json.dumps({"refresh_token": tokens.refresh}).encode())] * 10
    found = outcomes(burst_of(service, calls))
    assert set(found) <= {(204, ""), INVALID}
    assert found[204, ""] >= 1
    assert is_over(walk, tokens)


def test_a_session_is_ended_from_another_one(walk: Walker, alice: Person) -> None:
    lost, mine = walk.open_session(alice), walk.open_session(alice)
    [target] = [entry["id"] for entry in listed(walk, mine) if not entry["current"]]
    assert walk.client.delete(f"/me/sessions/{target}", headers=bearer(mine)).status_code == 204
    assert is_over(walk, lost)
    assert [entry["current"] for entry in listed(walk, mine)] == [True]
    again = walk.client.delete(f"/me/sessions/{target}", headers=bearer(mine))
    assert outcome(again) == (404, "session_not_found")


def test_all_others_are_ended_at_once(walk: Walker, alice: Person) -> None:
    others, mine = [walk.open_session(alice) for _ in range(3)], walk.open_session(alice)
    assert walk.client.delete("/me/sessions", headers=bearer(mine)).status_code == 204
    assert all(is_over(walk, other) for other in others)
    assert not is_over(walk, mine)


def test_nobody_ends_the_session_of_another(walk: Walker, alice: Person, bob: Person) -> None:
    walk.register(bob)
    mine, his = walk.open_session(alice), walk.open_session(bob)
    [entry] = listed(walk, his)
    for target in (entry["id"], uuid.uuid4()):
        answer = walk.client.delete(f"/me/sessions/{target}", headers=bearer(mine))
        assert outcome(answer) == (404, "session_not_found")
    odd = walk.client.delete("/me/sessions/canary", headers=bearer(mine))
    assert outcome(odd) == MALFORMED
    assert "canary" not in odd.text
    assert "`" not in odd.text  # a letter of it, as the library quotes it
    assert not is_over(walk, his)


@pytest.mark.parametrize(
    ("method", "path"), [("GET", "/me/sessions"), ("DELETE", "/me/sessions"), ("DELETE", f"/me/sessions/{NOBODYS}")]
)
def test_these_calls_need_a_token_with_the_permission(
    method: str, path: str, walk: Walker, alice: Person, db: DatabaseInspector
) -> None:
    assert outcome(walk.client.request(method, path)) == INVALID
    db.rows("DELETE FROM user_roles WHERE user_id = (SELECT id FROM users WHERE email = $1)", alice.email)
    tokens = walk.open_session(alice)
    assert outcome(walk.client.request(method, path, headers=bearer(tokens))) == (403, "insufficient_scope")


# How many there may be.


def test_the_eleventh_log_in_ends_the_oldest_session(walk: Walker, alice: Person) -> None:
    first, second = walk.open_session(alice), walk.open_session(alice)
    assert walk.me(first.access).status_code == 200
    later = [walk.open_session(alice) for _ in range(9)]
    assert is_over(walk, first)
    assert not is_over(walk, second)
    assert len(listed(walk, later[-1])) == 10


def test_twenty_log_ins_at_once_leave_ten_sessions(service: Service, walk: Walker, db: DatabaseInspector) -> None:
    walk.register(person := new_person("busy"))
    flows = [walk.open_login(person) for _ in range(20)]
    answers = burst(service, [("/login/confirm", {"session_key": key, "code": code}) for key, code in flows])
    assert outcomes(answers) == {(200, ""): 20}
    living = db.value("SELECT count(*) FROM sessions JOIN users ON users.id = user_id WHERE email = $1", person.email)
    assert living == 10
    answers_to_me = [walk.me(answer.json["access_token"]).status_code for answer in answers]
    assert sorted(answers_to_me) == [200] * 10 + [401] * 10
