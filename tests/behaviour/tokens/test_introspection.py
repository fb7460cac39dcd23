"""POST /introspect (RFC 7662) and /revoke (RFC 7009): what other services ask us, and who may ask."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import httpx
import pytest

from tests.support.requests.hostile_bodies import CANARY, corpus
from tests.support.service.process import SERVICE_CLIENT, Service, basic
from tests.support.state.database_inspector import DatabaseInspector
from tests.support.users.flows import outcome
from tests.support.users.people import Person, Walker
from tests.support.values.token_forger import TokenForger, stolen_key

CALLS = ("/introspect", "/revoke")
NAME, SECRET = SERVICE_CLIENT
FORM = "application/x-www-form-urlencoded"


@pytest.fixture
def asking(service: Service) -> Iterator[httpx.Client]:
    """A service that has a name and a secret."""
    with service.client(auth=SERVICE_CLIENT) as client:
        yield client


def introspected(asking: httpx.Client, token: str, **hint: str) -> dict[str, Any]:
    answer = asking.post("/introspect", data={"token": token, **hint})
    assert answer.status_code == 200, answer.text
    assert answer.headers["Content-Type"] == "application/json"
    assert answer.headers["Cache-Control"] == "no-store"
    told: dict[str, Any] = answer.json()
    return told


def test_a_good_token_is_active_and_says_whose_it_is(asking: httpx.Client, walk: Walker, alice: Person) -> None:
    token = walk.log_in(alice)
    user = walk.me(token).json()
    told = introspected(asking, token, token_type_hint="access_token")
    assert told["active"] is True
    assert (told["sub"], told["username"]) == (user["id"], alice.login)
    assert told["scope"].split() == told["permissions"] == user["permissions"]
    assert told["roles"] == ["user"]
    claims = json.loads(base64.urlsafe_b64decode(token.split(".")[1] + "=="))
    names = ("iss", "sub", "aud", "exp", "iat", "nbf", "jti", "client_id", "sid")
    assert {name: told[name] for name in names} == {name: claims[name] for name in names}


def test_of_any_other_token_nothing_is_told_but_that(asking: httpx.Client, walk: Walker, alice: Person) -> None:
    tokens = walk.open_session(alice)
    head, body, signature = tokens.access.split(".")
    for other in ("x", "a.b.c", f"{head}.{body}.{signature[::-1]}", f"{head}.{body}.", tokens.access + "=", "é\0"):
        assert introspected(asking, other) == {"active": False}
    # Whoever asks was shown it as an access token.
    assert introspected(asking, tokens.refresh) == {"active": False}
    assert introspected(asking, tokens.refresh, token_type_hint="refresh_token") == {"active": False}


def test_an_expired_token_is_not_active_however_patient_verifiers_are(
    asking: httpx.Client, walk: Walker, alice: Person, service: Service, db: DatabaseInspector
) -> None:
    forger = TokenForger(stolen_key(service, db), walk.log_in(alice))
    barely = forger.token(exp=int(time.time()) - 2)
    assert walk.me(barely).status_code == 200
    assert introspected(asking, barely) == {"active": False}


def test_a_logout_is_seen_at_once(asking: httpx.Client, walk: Walker, alice: Person) -> None:
    token = walk.log_in(alice)
    assert introspected(asking, token)["active"] is True
    assert walk.log_out(token).status_code == 204
    assert introspected(asking, token) == {"active": False}


def test_what_is_told_of_roles_is_what_they_are_at_the_next_look_into_the_database(
    asking: httpx.Client, walk: Walker, alice: Person, db: DatabaseInspector
) -> None:
    token = walk.log_in(alice)
    db.rows("INSERT INTO user_roles (user_id, role) SELECT id, 'admin' FROM users WHERE email = $1", alice.email)
    told = introspected(asking, token)
    assert told["roles"] == ["admin", "user"]
    assert "user:write" in told["permissions"]


@pytest.mark.parametrize("kind", ["access", "refresh"])
def test_a_revoked_token_ends_its_session(kind: str, asking: httpx.Client, walk: Walker, alice: Person) -> None:
    tokens, other = walk.open_session(alice), walk.open_session(alice)
    assert walk.me(tokens.access).status_code == 200
    answer = asking.post("/revoke", data={"token": getattr(tokens, kind)})
    assert (answer.status_code, answer.content) == (200, b"")
    assert outcome(walk.me(tokens.access)) == (401, "invalid_token")
    assert outcome(walk.refresh(tokens.refresh)) == (400, "invalid_grant")
    assert walk.me(other.access).status_code == 200


def test_revoking_what_is_no_token_of_ours_is_a_success(asking: httpx.Client, walk: Walker, alice: Person) -> None:
    tokens = walk.open_session(alice)
    made_up = tokens.refresh[:22] + "A" * 64
    for token in ("x", "a.b.c", "..", made_up, "é"):
        assert asking.post("/revoke", data={"token": token}).status_code == 200
    for _ in range(2):
        assert asking.post("/revoke", data={"token": tokens.refresh}).status_code == 200


STRANGERS: dict[str, str | None] = {
    "nothing": None,
    "an empty header": "",
    "a scheme alone": "Basic",
    "no base64": "Basic !!!",
    "no colon": "Basic " + base64.b64encode(b"no-colon").decode(),
    "no UTF-8": "Basic " + base64.b64encode(b"\xff\xfe:x").decode(),
    "another secret": basic(NAME, "another secret"),
    "no secret": basic(NAME, ""),
    "no name": basic("", SECRET),
    "another name": basic("nobody", SECRET),
    "the name in capitals": basic(NAME.upper(), SECRET),
    "the secret as a token": f"Bearer {SECRET}",
    "twice the same": f"{basic(NAME, SECRET)}, {basic(NAME, SECRET)}",
}


@pytest.mark.parametrize("path", CALLS)
@pytest.mark.parametrize("stranger", STRANGERS)
def test_nobody_else_is_told_anything(path: str, stranger: str, walk: Walker, alice: Person) -> None:
    header = STRANGERS[stranger]
    headers = {} if header is None else {"Authorization": header}
    token = walk.log_in(alice)
    answer = walk.client.post(path, data={"token": token}, headers=headers)
    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"] == 'Basic realm="auth"'
    assert answer.json()["error"] == "invalid_client"
    assert walk.me(token).status_code == 200


def test_a_user_is_no_service(walk: Walker, alice: Person) -> None:
    token = walk.log_in(alice)
    answer = walk.client.post("/introspect", data={"token": token}, headers={"Authorization": f"Bearer {token}"})
    assert answer.status_code == 401


def test_name_and_secret_may_be_encoded_as_in_a_form(service: Service, walk: Walker, alice: Person) -> None:
    # RFC 6749 section 2.3.1: some libraries do it, others do not.
    encoded = basic("".join(f"%{ord(letter):02x}" for letter in NAME), quote(SECRET, safe=""))
    with service.client(headers={"Authorization": encoded}) as client:
        assert introspected(client, walk.log_in(alice))["active"] is True


@pytest.mark.parametrize("path", CALLS)
def test_a_form_that_does_not_fit_is_refused_without_an_echo(path: str, asking: httpx.Client) -> None:
    for form in (
        "", "token", "token=", f"tok={CANARY}", f"token={CANARY}&token={CANARY}", f"token={CANARY}&x", "&&",
        f"token={CANARY}%ff", f"token={CANARY}%", "&".join(f"a{n}={CANARY}" for n in range(20)), f"token={CANARY}é",
    ):  # fmt: skip
        answer = asking.post(path, content=form.encode(), headers={"Content-Type": FORM})
        if form == f"token={CANARY}%":
            assert answer.status_code == 200  # A percent sign alone stands for itself.
            continue
        assert (answer.status_code, answer.json()["error"]) == (400, "invalid_request"), form
        assert CANARY not in answer.text


@pytest.mark.parametrize("path", CALLS)
def test_a_hostile_body_is_refused_without_an_echo(path: str, asking: httpx.Client) -> None:
    for hostile in corpus():
        headers = {} if hostile.content_type is None else {"Content-Type": hostile.content_type}
        answer = asking.post(path, content=hostile.body, headers=headers)
        assert answer.status_code in (400, 413), hostile.name
        assert CANARY not in answer.text.lower()


@pytest.mark.parametrize("path", CALLS)
def test_a_large_form_is_refused(path: str, asking: httpx.Client) -> None:
    answer = asking.post(path, content=b"token=" + b"a" * 20_000, headers={"Content-Type": FORM})
    assert outcome(answer) == (413, "body_too_large")


def test_a_body_of_a_stranger_is_not_even_read(client: httpx.Client) -> None:
    answer = client.post("/introspect", content=b"\xff", headers={"Content-Type": FORM})
    assert (answer.status_code, answer.json()["error"]) == (401, "invalid_client")
