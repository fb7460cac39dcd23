"""What OpenAPI says of the API as a whole: the introduction, the groups of routes, the names and the error formats."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from fastapi.routing import APIRoute

from models.responses.common import OAuthError, Problem

SUMMARY = """\
Register, log in and recover a lost password; each action is confirmed by a one-time code sent by e-mail.

Each answer names the `next` call, and its `session_key` is the key to that call. `/login/confirm` returns an access
token: put it into **Authorize** to call `/me`. When it expires, send the refresh token to `/token/refresh`.
"""

TAGS = [
    {"name": "register", "description": "1. `/register` 2. `/register/confirm` with the code from the mail"},
    {"name": "login", "description": "1. `/login` 2. `/login/confirm` with the code from the mail: tokens"},
    {"name": "recover", "description": "1. `/recover` 2. `/recover/confirm` with the code 3. `/recover/password`"},
    {"name": "session", "description": "Continue or end a session."},
    {"name": "account", "description": "Your own account, with an access token."},
    {"name": "users", "description": "Accounts, for administrators."},
    {"name": "roles", "description": "Roles and permissions, for administrators."},
    {"name": "mail", "description": "Unsent mail, for administrators."},
    {"name": "audit", "description": "Security events, for administrators."},
    {"name": "tokens", "description": "For services that verify access tokens."},
    {"name": "health", "description": "For the operator."},
]


def operation_id(route: APIRoute) -> str:
    """Return the name of a generated client's method: open_registration, not open_registration_register_post."""
    return route.name


def add_error_schemas(app: FastAPI) -> None:
    """Add the formats of errors to the OpenAPI description.

    As the ``model`` of a response they would be described as application/json, too, which no problem is.
    """
    describe = app.openapi

    def describe_with_errors() -> dict[str, Any]:
        description = describe()
        for shape in (Problem, OAuthError):
            description["components"]["schemas"][shape.__name__] = shape.model_json_schema()
        return description

    app.openapi = describe_with_errors  # type: ignore[method-assign]
