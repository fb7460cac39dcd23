"""The one place that turns a refusal into an HTTP answer: RFC 9457 problem details, never an echo of what was sent."""

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
    TooManyRequests,
    Unavailable,
    UnsupportedMediaType,
)
from models.responses.common import OAuthError, Problem

log = logging.getLogger(__name__)

MEDIA_TYPE = "application/problem+json"

_MEND = "Mend the fields that are named and send the request again."
SEND_TOKEN = "Send an access token from /login/confirm or /token/refresh as: Authorization: Bearer …"  # noqa: S105 - a sentence

# security.md, row 51, and RFC 6750 section 3: a 401 or 403 on a bearer route says what is wrong with the token.
_CHALLENGES = {InvalidAccessToken.code, InsufficientScope.code}


def answer(error: ServiceError) -> Response:
    """The answer that a refusal stands for."""
    headers = dict(error.headers)
    if isinstance(error, OAUTH_REFUSALS):
        return JSONResponse(_oauth_body(error), status_code=error.status, headers=headers | _oauth_headers(error))
    if error.code in _CHALLENGES:
        headers["WWW-Authenticate"] = f'Bearer error="{error.code}"'
    return _problem(error.status, error.code, error.title, error.detail, headers, **error.members)


# RFC 6749 section 5.2, and no problem details: who calls these speaks OAuth and knows no other errors.
OAUTH_REFUSALS = (InvalidClient, InvalidForm)


def _oauth_body(error: ServiceError) -> dict[str, str]:
    return OAuthError(error=error.code, error_description=error.detail or error.title).model_dump()


def _oauth_headers(error: ServiceError) -> dict[str, str]:
    return {"WWW-Authenticate": 'Basic realm="auth"'} if isinstance(error, InvalidClient) else {}


def _problem(
    status: int, code: str, title: str, detail: str | None, headers: dict[str, str] | None = None, **members: Any
) -> Response:
    body = _body(status, code, title, detail, **members)
    return JSONResponse(body, status_code=status, headers=headers, media_type=MEDIA_TYPE)


def _body(status: int, code: str, title: str, detail: str | None, **members: Any) -> dict[str, Any]:
    body: dict[str, Any] = {"type": f"/problems/{code}", "title": title, "status": status, "code": code, **members}
    if detail and detail != title:
        body["detail"] = detail
    return body


async def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, ServiceError)
    request.state.outcome = error.code
    if isinstance(error, _DENIALS):
        _note_denial(request, getattr(request.state, "actor", None), refused=error.code)
    if isinstance(error, Unavailable) and error.__cause__ is not None:
        log.warning("unavailable: %s", type(error.__cause__).__name__)
    return answer(error)


# Of a caller who has shown who he is: he tries what he may not.
_DENIALS = (InsufficientScope, LastAdministrator, InvalidClient)


def _whoever_calls(request: Request, user_id: UUID | None) -> Actor:
    return anonymous_actor(ClientInfo(client_networks(request.client.host if request.client else None)), user_id)


def _note_denial(request: Request, actor: Actor | None, **why: str) -> None:
    who = actor or _whoever_calls(request, None)
    call = f"{request.method} {request.scope['route'].path}"
    request.state.services.audit_buffer.record(Event.ACCESS_DENIED, who, who.user_id, call=call, **why)


async def _malformed(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    request.state.outcome = InvalidRequest.code
    # Place and message alone: pydantic's `input` and `ctx` would send a password back (security.md, row 53). A place
    # may be a field name of the caller's own making, so that only names of ours are shown.
    problems = [{"field": _place(problem), "message": _message(problem)} for problem in error.errors()[:20]]
    return answer(InvalidRequest(_MEND, errors=problems))


def _place(problem: dict[str, Any]) -> str:
    if problem["type"] == "extra_forbidden":
        return "(unknown field)"
    place = [part for part in problem["loc"] if part != "body" and isinstance(part, str)]
    return ".".join(place) or "body"


_A_MOMENT = "must be a moment with its time zone, such as 2026-11-22T18:00:00Z"
_MESSAGES = {
    "json_invalid": "must be one JSON object in UTF-8, without NaN and without doubled names",
    "missing": "is required",
    "extra_forbidden": "is not part of this request",
    # Pydantic's own words quote what was sent.
    "datetime_parsing": _A_MOMENT,
    "datetime_from_date_parsing": _A_MOMENT,
    "datetime_object_invalid": _A_MOMENT,
    "timezone_aware": _A_MOMENT,
    "uuid_parsing": "must be an id, such as 019aaa3e-1c53-7a7d-9a2e-5d4f0c1b2a39",
}


def _message(problem: dict[str, Any]) -> str:
    return _MESSAGES.get(problem["type"]) or str(problem["msg"]).removeprefix("Value error, ")


async def _denied(request: Request, error: Exception) -> Response:
    if isinstance(error, MissingPermission):
        _note_denial(request, _whoever_calls(request, UUID(error.subject)), needed=error.needed)
        return answer(InsufficientScope(f"This needs {error.needed}."))
    if isinstance(error, InvalidToken):
        refusal = answer(InvalidAccessToken(SEND_TOKEN))
        if "authorization" not in request.headers:
            # RFC 6750 section 3.1: who has sent nothing is told how to authenticate, and of no error.
            refusal.headers["WWW-Authenticate"] = 'Bearer realm="auth"'
        return refusal
    log.error("a route in a guarded room says nothing of what it requires")
    return answer(InsufficientScope())


_NO_SUCH_CALL = {
    HTTPStatus.NOT_FOUND: "There is no call at this address; /openapi.json describes all there are.",
    HTTPStatus.METHOD_NOT_ALLOWED: "This address is called by another method; the header Allow names it.",
}


async def _http(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    status = HTTPStatus(error.status_code)
    if status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
        return answer(BodyTooLarge())
    detail = _NO_SUCH_CALL.get(status)
    return _problem(status.value, status.name.lower(), f"{status.phrase}.", detail, dict(error.headers or {}))


def internal_error(method: str, path: str, error: Exception) -> Response:
    """The answer to a mistake of ours; what it was stands in the log alone."""
    log.error("unforeseen error at %s %s", method, path, exc_info=error)
    return _problem(500, "internal_error", "Something went wrong on our side.", None)


def install(app: FastAPI) -> None:
    """Have every error of the app answered here, and the shape of the answers named in its OpenAPI description."""
    app.add_exception_handler(ServiceError, _refused)
    app.add_exception_handler(TokenError, _denied)
    app.add_exception_handler(RequestValidationError, _malformed)
    app.add_exception_handler(HTTPException, _http)

    plain = app.openapi

    def with_problems() -> dict[str, Any]:
        # Given as `model`, the shape would be documented as application/json, too, which no refusal of ours is.
        described = plain()
        for shape in (Problem, OAuthError):
            described["components"]["schemas"][shape.__name__] = shape.model_json_schema()
        return described

    app.openapi = with_problems  # type: ignore[method-assign]


def validation_error(field: str, message: str) -> InvalidRequest:
    """A refusal of one field, for the OpenAPI description of a route."""
    return InvalidRequest(_MEND, errors=[{"field": field, "message": message}])


COMMON_ERRORS: tuple[ServiceError, ...] = (
    UnsupportedMediaType(),
    BodyTooLarge(),
    validation_error("email", "must be one e-mail address, such as alice@example.com"),
    Unavailable(),
)
"""What every call with a body may be refused with."""

RATE_LIMITED_ERRORS = (*COMMON_ERRORS, TooManyRequests())
"""What every step of a flow may be refused with."""


def error_responses(*refusals: ServiceError) -> dict[int | str, dict[str, Any]]:
    """What an operation may refuse, for its OpenAPI description: one answer a status, each refusal an example."""
    answers: dict[int | str, dict[str, Any]] = {}
    for refusal in refusals:
        described = answers.setdefault(
            refusal.status,
            {
                "description": "",
                "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}, "examples": {}}},
            },
        )
        if refusal.title not in described["description"]:
            described["description"] = f"{described['description']} {refusal.title}".strip()
        described["content"][MEDIA_TYPE]["examples"][refusal.code] = {
            "summary": refusal.title,
            "value": _body(refusal.status, refusal.code, refusal.title, refusal.detail, **refusal.members),
        }
        if refusal.status in (429, 503):
            described["headers"] = {
                "Retry-After": {"schema": {"type": "integer"}, "description": "Seconds to wait before trying again."}
            }
        if refusal.code in _CHALLENGES:
            described["headers"] = {
                "WWW-Authenticate": {"schema": {"type": "string"}, "description": "RFC 6750 section 3."}
            }
    return answers


def oauth_error_responses(*refusals: ServiceError) -> dict[int | str, dict[str, Any]]:
    """The same for the calls of OAuth's own."""
    return {
        refusal.status: {
            "description": refusal.title,
            "content": {
                "application/json": {
                    "schema": {"$ref": "#/components/schemas/OAuthError"},
                    "example": _oauth_body(refusal),
                }
            },
        }
        for refusal in refusals
    }
