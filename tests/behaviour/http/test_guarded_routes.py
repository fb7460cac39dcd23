"""G1: every `/me` and `/admin` route refuses whoever has no token, and whoever lacks the permission."""

from __future__ import annotations

import re

import httpx
import pytest

from tests.support.service.process import Service
from tests.support.state.database_inspector import DatabaseInspector
from tests.support.users.flows import outcome
from tests.support.users.people import Person, Walker
from tests.support.users.session_factory import SessionFactory

ID = "019aaa3e-2f60-7c1e-8d4b-6a7b8c9d0e1f"
METHODS = ("get", "put", "post", "delete", "patch")


@pytest.fixture(scope="module")
def routes(service: Service) -> list[tuple[str, str]]:
    """Every guarded route as a request may name it, as the service itself tells."""
    described = service.get("/openapi.json").json()["paths"]
    return [
        (method.upper(), re.sub(r"\{[^}]*\}", ID, path))
        for path, operations in described.items()
        if re.match(r"/(me|admin)(/|$)", path)
        for method in METHODS
        if method in operations
    ]


def test_the_routes_are_found(routes: list[tuple[str, str]]) -> None:
    changes = {("PUT", f"/me/{what}") for what in ("password", "login", "locale")}
    flows = {("POST", f"/me/{flow}{step}") for flow in ("email", "delete") for step in ("", "/confirm", "/resend")}
    sessions = {("GET", "/me/sessions"), ("DELETE", "/me/sessions"), ("DELETE", f"/me/sessions/{ID}")}
    assert {("GET", "/me"), ("GET", "/me/export"), *changes, *flows, *sessions} <= {*routes}


@pytest.mark.parametrize("header", [None, "Bearer nonsense", "Basic YTpi", "Bearer"], ids=str)
def test_without_a_good_token_no_guarded_route_is_entered(
    header: str | None, client: httpx.Client, routes: list[tuple[str, str]]
) -> None:
    for method, path in routes:
        answer = _call(client, method, path, {} if header is None else {"Authorization": header})
        assert outcome(answer) == (401, "invalid_token"), (method, path)
        assert answer.headers["WWW-Authenticate"].startswith("Bearer"), (method, path)


def test_without_the_permission_no_guarded_route_is_entered(
    service: Service, walk: Walker, alice: Person, db: DatabaseInspector, routes: list[tuple[str, str]]
) -> None:
    token = {"Authorization": f"Bearer {SessionFactory(service, db).create(alice).access}"}
    assert walk.client.get("/me", headers=token).status_code == 200
    user_id = db.value("SELECT id FROM users WHERE email = $1", alice.email)
    db.rows("DELETE FROM user_roles WHERE user_id = $1", user_id)
    db.valkey.delete(f"user:{{{user_id}}}")
    before = db.rows("SELECT * FROM users WHERE id = $1", user_id)
    for method, path in routes:
        answer = _call(walk.client, method, path, token)
        assert outcome(answer) == (403, "insufficient_scope"), (method, path)
        assert answer.headers["WWW-Authenticate"] == 'Bearer error="insufficient_scope"', (method, path)
    assert db.rows("SELECT * FROM users WHERE id = $1", user_id) == before
    assert db.value("SELECT count(*) FROM sessions WHERE user_id = $1", user_id) == 1


def _call(client: httpx.Client, method: str, path: str, headers: dict[str, str]) -> httpx.Response:
    # A body that is JSON and fits no form: whoever may not come in is not told what would fit.
    return client.request(method, path, headers=headers, json=None if method in ("GET", "DELETE") else {})
