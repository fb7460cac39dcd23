"""POST /introspect and /revoke: for services with a name and a secret in ``SERVICE_CLIENTS`` (RFC 7662, RFC 7009)."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request, Response

from api.deps import Introspections
from api.oauth.client_auth import AuthenticatedService
from api.oauth.form_body import read_form
from api.openapi.responses import error_responses, oauth_error_responses
from api.request_context import ClientAddress
from models.errors import BodyTooLarge, InvalidClient, InvalidForm, Unavailable
from models.responses.tokens import Introspection

router = APIRouter(tags=["tokens"])

_FORM = {
    "requestBody": {
        "required": True,
        "content": {
            "application/x-www-form-urlencoded": {
                "schema": {
                    "type": "object",
                    "required": ["token"],
                    "properties": {
                        "token": {"type": "string", "minLength": 1},
                        "token_type_hint": {
                            "type": "string",
                            "description": "Ignored: the kind is recognised by the token itself.",
                        },
                    },
                },
                "example": {"token": "eyJhbGciOiJFUzI1NiIsInR5cCI6ImF0K2p3dCJ9…"},
            }
        },
    }
}


async def _token(request: Request, _client: AuthenticatedService) -> str:
    """Return the token of the request; its body is read only after the service has been authenticated."""
    token = (await read_form(request)).get("token", "")
    if not token:
        raise InvalidForm("`token` is required.")
    return token


_Token = Annotated[str, Depends(_token)]
_REFUSALS: dict[int | str, dict[str, Any]] = oauth_error_responses(
    InvalidClient(), InvalidForm("`token` is required.")
) | error_responses(BodyTooLarge(), Unavailable())


_EXAMPLE = {name: field.examples[0] for name, field in Introspection.model_fields.items() if field.examples}
_GOOD_AND_BAD: dict[int | str, dict[str, Any]] = {
    200: {
        "content": {
            "application/json": {
                "examples": {
                    "good": {"summary": "A valid token.", "value": {"active": True, **_EXAMPLE}},
                    "bad": {"summary": "Any other.", "value": {"active": False}},
                }
            }
        }
    }
}


@router.post(
    "/introspect",
    summary="Check whether an access token is valid now",
    response_description="The state of the token.",
    response_model_exclude_none=True,
    responses=_REFUSALS | _GOOD_AND_BAD,
    openapi_extra=_FORM,
)
async def introspect(token: _Token, introspections: Introspections) -> Introspection:
    """Introspect a token (RFC 7662). Unlike offline verification, the answer reflects a log-out or a block at once.

    Roles and permissions are the user's current ones. A refresh token is never active.
    """
    return await introspections.introspect(token)


@router.post(
    "/revoke",
    status_code=200,
    response_class=Response,
    summary="End the session of a token",
    response_description="The session has ended, or there was none.",
    responses=_REFUSALS,
    openapi_extra=_FORM,
)
async def revoke(token: _Token, introspections: Introspections, client: ClientAddress) -> None:
    """End the session of a refresh token, even a used one, or of an access token that has not expired (RFC 7009).

    The answer is 200 also if there is no session to end.
    """
    await introspections.revoke(token, client)
