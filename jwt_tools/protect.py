"""Makes a FastAPI app accept the tokens of one issuer, and refuse all others as RFC 6750 and RFC 9457 define."""

from __future__ import annotations

import logging
from http import HTTPStatus

from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse

from jwt_tools.decode import TokenVerifier
from jwt_tools.errors import InvalidToken, KeysUnavailable, MissingPermission, UnmarkedRoute
from jwt_tools.remote import RETRY_PAUSE, RemoteKeys

log = logging.getLogger(__name__)


def protect(
    app: FastAPI, issuer: str, *, audience: str | None = None, jwks_url: str | None = None, leeway: int = 30
) -> None:
    """Guard the routers of an app that have ``dependencies=[Depends(guard)]`` (see `jwt_tools.decorators`).

    ``audience`` is `aud` of the tokens, the issuer by default; ``jwks_url`` is the address of the issuer's keys, for a
    service that cannot reach the issuer's public address; ``leeway`` is in seconds, see `TokenVerifier`. The issuer is
    first called when the first token comes.

    Raises:
        ValueError: an address does not start with http or https.
    """
    app.state.token_verifier = TokenVerifier(
        RemoteKeys(issuer, jwks_url=jwks_url), issuer, issuer if audience is None else audience, leeway
    )
    app.add_exception_handler(InvalidToken, _invalid)
    app.add_exception_handler(MissingPermission, _insufficient)
    app.add_exception_handler(UnmarkedRoute, _unmarked)
    app.add_exception_handler(KeysUnavailable, _unavailable)


async def _invalid(request: Request, _: Exception) -> Response:
    # RFC 6750 section 3.1: a request without credentials gets no error code. The reason of a refusal is never sent: it
    # would help an attacker who forges tokens, and no honest client.
    challenge = 'error="invalid_token"' if "authorization" in request.headers else 'realm="api"'
    return _problem(
        HTTPStatus.UNAUTHORIZED,
        "invalid_token",
        "The access token is not valid.",
        "Send an access token as: Authorization: Bearer …",
        {"WWW-Authenticate": f"Bearer {challenge}"},
    )


async def _insufficient(_: Request, error: Exception) -> Response:
    assert isinstance(error, MissingPermission)
    return _forbidden(f"This needs {error.needed}.")


async def _unmarked(request: Request, _: Exception) -> Response:
    log.error("%s has no decorator that says what it requires: every request is refused", request.scope["route"].path)
    return _forbidden(None)


def _forbidden(detail: str | None) -> Response:
    return _problem(
        HTTPStatus.FORBIDDEN,
        "insufficient_scope",
        "A permission is missing.",
        detail,
        {"WWW-Authenticate": 'Bearer error="insufficient_scope"'},
    )


async def _unavailable(_: Request, _error: Exception) -> Response:
    return _problem(
        HTTPStatus.SERVICE_UNAVAILABLE,
        "unavailable",
        "The service cannot answer at the moment.",
        None,
        {"Retry-After": f"{RETRY_PAUSE:.0f}"},
    )


def _problem(status: HTTPStatus, code: str, title: str, detail: str | None, headers: dict[str, str]) -> Response:
    """Return the answer that the issuer itself would give (RFC 9457 section 3), so that clients know one format."""
    body: dict[str, str | int] = {"type": f"/problems/{code}", "title": title, "status": status.value, "code": code}
    if detail is not None:
        body["detail"] = detail
    return JSONResponse(body, status_code=status, headers=headers, media_type="application/problem+json")
