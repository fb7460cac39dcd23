"""A service that is protected: what it lets in, and the words in which it refuses the rest."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from fastapi import APIRouter, Depends, FastAPI

from jwt_tools.create import AccessTokenClaims, create_access_token
from jwt_tools.decorators import SignedIn, guard, requires, role_required, signed_in
from jwt_tools.keys import SigningKey
from jwt_tools.protect import protect
from tests.support.servers.key_server import JWKS, METADATA, KeyServer, http

room = APIRouter(dependencies=[Depends(guard)])


@room.get("/reports")
@requires("reports:read")
async def reports() -> str:
    return "reports"


@room.get("/drafts")
@role_required("admin")
async def drafts() -> str:
    return "drafts"


@room.get("/whoami")
@signed_in
async def whoami(caller: SignedIn) -> str:
    return caller.login


@room.get("/forgotten/{thing}")
async def forgotten(thing: str) -> str:
    return thing


def client_of(issuer: str, **options: Any) -> httpx.AsyncClient:
    app = FastAPI()
    protect(app, issuer, **options)
    app.include_router(room)
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://reports.example.com")


@pytest.fixture
async def client(server: KeyServer) -> AsyncIterator[httpx.AsyncClient]:
    async with client_of(server.url) as calling:
        yield calling


def bearer(
    server: KeyServer, *permissions: str, role: str = "user", key: SigningKey | None = None, audience: str = ""
) -> dict[str, str]:
    """The header with a token that allows this."""
    claims = AccessTokenClaims("user-id", "web", "session-id", 1, ("pwd", "otp"), "alice", (role,), permissions)
    token = create_access_token(key or server.key, claims, issuer=server.url, audience=audience or server.url, ttl=600)
    return {"Authorization": f"Bearer {token}"}


def refusal(answer: httpx.Response) -> tuple[int, str, str | None]:
    """Status, code and challenge; the shape is that of RFC 9457."""
    assert answer.headers["Content-Type"] == "application/problem+json"
    problem = answer.json()
    assert set(problem) - {"detail"} == {"type", "title", "status", "code"}
    assert problem["status"] == answer.status_code
    assert problem["type"] == f"/problems/{problem['code']}"
    return answer.status_code, problem["code"], answer.headers.get("WWW-Authenticate")


async def test_each_route_lets_in_whom_it_says(server: KeyServer, client: httpx.AsyncClient) -> None:
    assert (await client.get("/reports", headers=bearer(server, "reports:read"))).json() == "reports"
    assert (await client.get("/drafts", headers=bearer(server, role="admin"))).json() == "drafts"
    assert (await client.get("/whoami", headers=bearer(server))).json() == "alice"
    assert server.paths == [METADATA, JWKS]


@pytest.mark.parametrize("path", ["/reports", "/drafts", "/whoami", "/forgotten/thing"])
async def test_without_credentials_no_error_is_told(client: httpx.AsyncClient, server: KeyServer, path: str) -> None:
    assert refusal(await client.get(path)) == (401, "invalid_token", 'Bearer realm="api"')
    assert server.calls == [], "nobody asks for keys before there is a token to verify"


@pytest.mark.parametrize("authorization", ["Basic YTpi", "Bearer", "Bearer ", "Bearer secret", "secret", "Bearer a b"])
async def test_bad_credentials_are_an_invalid_token_and_are_not_repeated(
    client: httpx.AsyncClient, server: KeyServer, authorization: str
) -> None:
    answer = await client.get("/whoami", headers={"Authorization": authorization})
    assert refusal(answer) == (401, "invalid_token", 'Bearer error="invalid_token"')
    assert "secret" not in answer.text + str(answer.headers)
    assert server.calls == []


async def test_a_strangers_token_is_not_good(client: httpx.AsyncClient, server: KeyServer) -> None:
    stranger = bearer(server, "reports:read", key=SigningKey.generate())
    for_another = bearer(server, "reports:read", audience="https://other.example.com")
    for headers in (stranger, for_another):
        answer = await client.get("/reports", headers=headers)
        assert refusal(answer) == (401, "invalid_token", 'Bearer error="invalid_token"')


async def test_a_refusal_says_what_is_needed(client: httpx.AsyncClient, server: KeyServer) -> None:
    for path, needed in (("/reports", "reports:read"), ("/drafts", "admin")):
        answer = await client.get(path, headers=bearer(server, "reports:write"))
        assert refusal(answer) == (403, "insufficient_scope", 'Bearer error="insufficient_scope"')
        assert answer.json()["detail"] == f"This needs {needed}."


async def test_a_route_that_says_nothing_stays_closed_and_is_told_in_the_log(
    client: httpx.AsyncClient, server: KeyServer, caplog: pytest.LogCaptureFixture
) -> None:
    answer = await client.get("/forgotten/secret", headers=bearer(server, "reports:read", role="admin"))
    assert refusal(answer) == (403, "insufficient_scope", 'Bearer error="insufficient_scope"')
    (told,) = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert told.getMessage().startswith("/forgotten/{thing} ")


async def test_while_the_issuer_is_away_everybody_is_asked_to_come_again(
    client: httpx.AsyncClient, server: KeyServer
) -> None:
    server.says[METADATA] = http(500)
    for _ in range(2):
        answer = await client.get("/whoami", headers=bearer(server))
        assert refusal(answer) == (503, "unavailable", None)
        assert answer.headers["Retry-After"] == "5"
    assert server.paths == [METADATA]


async def test_a_service_may_be_an_audience_of_its_own_and_be_told_where_the_keys_are(server: KeyServer) -> None:
    reports = "https://reports.example.com"
    async with client_of(server.url, audience=reports, jwks_url=f"{server.url}{JWKS}") as client:
        assert (await client.get("/whoami", headers=bearer(server, audience=reports))).status_code == 200
        assert (await client.get("/whoami", headers=bearer(server))).status_code == 401
    assert server.paths == [JWKS]


def test_an_issuer_that_is_no_address_is_told_at_the_start() -> None:
    with pytest.raises(ValueError, match="must start with https"):
        client_of("auth.example.com")
