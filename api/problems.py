"""The one place that turns errors into HTTP answers: RFC 9457 problem details, which never repeat what was sent."""

from __future__ import annotations

import logging
from http import HTTPStatus
from typing import Any
from uuid import UUID

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from jwt_tools.errors import InvalidToken, MissingPermission, TokenError
from models.context.audit import Actor, Event, anonymous_actor
from models.context.client import ClientInfo, client_networks
from models.errors import (
    BodyTooLarge,
    InsufficientScope,
    InvalidAccessToken,
    InvalidClient,
    InvalidForm,
    InvalidRequest,
    LastAdministrator,
    ServiceError,
    Unavailable,
)
from models.responses.common import OAuthError
from models.values import strict_json

log = logging.getLogger(__name__)

MEDIA_TYPE = "application/problem+json"

SEND_TOKEN = "Send an access token from /login/confirm or /token/refresh as: Authorization: Bearer …"  # noqa: S105 - a sentence
CORRECT_FIELDS = "Correct the listed fields and send the request again."

BEARER_ERRORS = {InvalidAccessToken.code, InsufficientScope.code}
"""Errors of the token itself, which `WWW-Authenticate` names, too (RFC 6750 section 3; threats.md, row 51)."""

_OAUTH_ERRORS = (InvalidClient, InvalidForm)
"""Errors in the format of RFC 6749 section 5.2: the clients of OAuth endpoints know no problem details."""

_AUDITED = (InsufficientScope, LastAdministrator, InvalidClient)
"""Errors that the audit log records: a known user or service tried what it may not do."""


def error_response(error: ServiceError) -> Response:
    """Return the HTTP answer to an error."""
    headers = dict(error.headers)
    if isinstance(error, _OAUTH_ERRORS):
        if isinstance(error, InvalidClient):
            headers["WWW-Authenticate"] = 'Basic realm="auth"'
        return JSONResponse(oauth_body(error), status_code=error.status, headers=headers)
    if error.code in BEARER_ERRORS:
        headers["WWW-Authenticate"] = f'Bearer error="{error.code}"'
    return _problem_response(problem_body(error), headers)


def oauth_body(error: ServiceError) -> dict[str, str]:
    """Return the body of an answer of RFC 6749 section 5.2."""
    return OAuthError(error=error.code, error_description=error.detail or error.title).model_dump()


def problem_body(error: ServiceError) -> dict[str, Any]:
    """Return the body of an answer of RFC 9457."""
    return _body(error.status, error.code, error.title, error.detail, **error.members)


def _body(status: int, code: str, title: str, detail: str | None = None, **members: Any) -> dict[str, Any]:
    body: dict[str, Any] = {"type": f"/problems/{code}", "title": title, "status": status, "code": code, **members}
    if detail and detail != title:
        body["detail"] = detail
    return body


def _problem_response(body: dict[str, Any], headers: dict[str, str] | None = None) -> Response:
    return JSONResponse(body, status_code=body["status"], headers=headers, media_type=MEDIA_TYPE)


async def _on_service_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, ServiceError)
    request.state.outcome = error.code
    if isinstance(error, _AUDITED):
        actor = getattr(request.state, "actor", None) or _client_as_actor(request, None)
        _record_denial(request, actor, refused=error.code)
    if isinstance(error, Unavailable) and error.__cause__ is not None:
        log.warning("unavailable: %s", type(error.__cause__).__name__)
    return error_response(error)


def _client_as_actor(request: Request, user_id: UUID | None) -> Actor:
    return anonymous_actor(ClientInfo(client_networks(request.client.host if request.client else None)), user_id)


def _record_denial(request: Request, actor: Actor, **details: str) -> None:
    call = f"{request.method} {request.scope['route'].path}"
    request.state.services.audit_buffer.record(Event.ACCESS_DENIED, actor, actor.user_id, call=call, **details)


async def _on_validation_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    request.state.outcome = InvalidRequest.code
    # Field and message alone: pydantic's `input` and `ctx` would send a password back (threats.md, row 53).
    problems = [{"field": _field(problem), "message": _message(problem)} for problem in error.errors()[:20]]
    return error_response(InvalidRequest(CORRECT_FIELDS, errors=problems))


def _field(problem: dict[str, Any]) -> str:
    if problem["type"] == "extra_forbidden":
        return "(unknown field)"  # its name is the client's own text
    place = [part for part in problem["loc"] if part != "body" and isinstance(part, str)]
    return ".".join(place) or "body"


_A_MOMENT = "must be a moment with its time zone, such as 2026-11-22T18:00:00Z"
_MESSAGES = {
    "json_invalid": strict_json.REFUSAL,
    "missing": "is required",
    "extra_forbidden": "is not part of this request",
    # Pydantic's own messages quote what was sent.
    "datetime_parsing": _A_MOMENT,
    "datetime_from_date_parsing": _A_MOMENT,
    "datetime_object_invalid": _A_MOMENT,
    "timezone_aware": _A_MOMENT,
    "uuid_parsing": "must be an id, such as 019aaa3e-1c53-7a7d-9a2e-5d4f0c1b2a39",
}


def _message(problem: dict[str, Any]) -> str:
    return _MESSAGES.get(problem["type"]) or str(problem["msg"]).removeprefix("Value error, ")


async def _on_token_error(request: Request, error: Exception) -> Response:
    if isinstance(error, MissingPermission):
        _record_denial(request, _client_as_actor(request, UUID(error.subject)), needed=error.needed)
        return error_response(InsufficientScope(f"This needs {error.needed}."))
    if isinstance(error, InvalidToken):
        response = error_response(InvalidAccessToken(SEND_TOKEN))
        if "authorization" not in request.headers:
            # RFC 6750 section 3.1: a request without a token gets the scheme, and no error.
            response.headers["WWW-Authenticate"] = 'Bearer realm="auth"'
        return response
    log.error("a route of a guarded router does not say what it requires")
    return error_response(InsufficientScope())


_NO_SUCH_CALL = {
    HTTPStatus.NOT_FOUND: "There is no call at this address; /openapi.json lists all calls.",
    HTTPStatus.METHOD_NOT_ALLOWED: "This address is called with another method; the header Allow lists the methods.",
}


async def _on_http_exception(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    status = HTTPStatus(error.status_code)
    if status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
        return error_response(BodyTooLarge())
    body = _body(status.value, status.name.lower(), f"{status.phrase}.", _NO_SUCH_CALL.get(status))
    return _problem_response(body, dict(error.headers or {}))


def internal_error(method: str, path: str, error: Exception) -> Response:
    """Return the answer to a bug; only the log says what happened."""
    log.error("unforeseen error at %s %s", method, path, exc_info=error)
    return _problem_response(_body(500, "internal_error", "Something went wrong on our side."))


def add_error_handlers(app: FastAPI) -> None:
    """Have every error of the app answered here."""
    app.add_exception_handler(ServiceError, _on_service_error)
    app.add_exception_handler(TokenError, _on_token_error)
    app.add_exception_handler(RequestValidationError, _on_validation_error)
    app.add_exception_handler(HTTPException, _on_http_exception)
