"""The responses of routes as OpenAPI describes them: errors, started flows, headers of known devices."""

from __future__ import annotations

from typing import Any

from api.problems import BEARER_ERRORS, CORRECT_FIELDS, MEDIA_TYPE, SEND_TOKEN, oauth_body, problem_body
from models.errors import (
    BodyTooLarge,
    InsufficientScope,
    InvalidAccessToken,
    InvalidRequest,
    ServiceError,
    TooManyRequests,
    Unavailable,
    UnsupportedMediaType,
    WeakPassword,
)
from models.responses.flows import SESSION_KEY_EXAMPLE
from models.values.permission import Permission

Responses = dict[int | str, dict[str, Any]]

_AN_ID = "must be an id, such as 019aaa3e-1c53-7a7d-9a2e-5d4f0c1b2a39"


def validation_error(field: str, message: str) -> InvalidRequest:
    """Return an example of the error for one invalid field."""
    return InvalidRequest(CORRECT_FIELDS, errors=[{"field": field, "message": message}])


def invalid_id(parameter: str) -> InvalidRequest:
    """Return an example of the error for a path parameter that is not an id."""
    return validation_error(f"path.{parameter}", _AN_ID)


def permission_errors(permission: Permission) -> tuple[ServiceError, ...]:
    """Return the errors of every route that needs an access token with a permission."""
    return InvalidAccessToken(SEND_TOKEN), InsufficientScope(f"This needs {permission}."), Unavailable()


COMMON_ERRORS: tuple[ServiceError, ...] = (
    UnsupportedMediaType(),
    BodyTooLarge(),
    validation_error("email", "must be one e-mail address, such as alice@example.com"),
    Unavailable(),
)
"""Errors of every route with a body."""

RATE_LIMITED_ERRORS = (*COMMON_ERRORS, TooManyRequests())
"""Errors of every step of a flow."""


COMMON_PASSWORD = WeakPassword("This password is one of the most common. Choose one that nobody else would.")


def error_responses(*errors: ServiceError) -> Responses:
    """Return one response for each status, in which every error is an example."""
    responses: Responses = {}
    for error in errors:
        response = responses.setdefault(
            error.status,
            {
                "description": "",
                "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}, "examples": {}}},
            },
        )
        if error.title not in response["description"]:
            response["description"] = f"{response['description']} {error.title}".strip()
        response["content"][MEDIA_TYPE]["examples"][error.code] = {"summary": error.title, "value": problem_body(error)}
        if error.status in (429, 503):
            response["headers"] = {
                "Retry-After": {"schema": {"type": "integer"}, "description": "Seconds to wait before trying again."}
            }
        if error.code in BEARER_ERRORS:
            response["headers"] = {
                "WWW-Authenticate": {"schema": {"type": "string"}, "description": "RFC 6750 section 3."}
            }
    return responses


def oauth_error_responses(*errors: ServiceError) -> Responses:
    """Return one response for each error of an OAuth endpoint."""
    return {
        error.status: {
            "description": error.title,
            "content": {
                "application/json": {
                    "schema": {"$ref": "#/components/schemas/OAuthError"},
                    "example": oauth_body(error),
                }
            },
        }
        for error in errors
    }


def flow_opened(next_path: str, *, expires_in: int = 1800) -> Responses:
    """Return the 202 of a flow that continues at a path, with an example."""
    example = {"session_key": SESSION_KEY_EXAMPLE, "expires_in": expires_in, "resend_after": 60, "next": next_path}
    return {202: {"content": {"application/json": {"example": example}}}}
