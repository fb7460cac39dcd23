"""POST /introspect and /revoke: for services that have a name and a secret with us (RFC 7662, RFC 7009)."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request, Response

from api.deps import Introspections
from api.oauth.client_auth import FromService
from api.oauth.form_body import read_form
from api.problems import error_responses, oauth_error_responses
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
                            "description": "Ignored: the token itself tells its kind.",
                        },
                    },
                },
                "example": {"token": "eyJhbGciOiJFUzI1NiIsInR5cCI6ImF0K2p3dCJ9…"},
            }
        },
    }
}


async def _token(request: Request, _client: FromService) -> str:
    """The token of a request whose sender has been let in; nobody else's body is read."""
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
                    "good": {"summary": "A good token.", "value": {"active": True, **_EXAMPLE}},
                    "bad": {"summary": "Any other.", "value": {"active": False}},
                }
            }
        }
    }
}


@router.post(
    "/introspect",
    summary="Ask whether an access token is good now",
    response_description="What the token is worth at this moment.",
    response_model_exclude_none=True,
    responses=_REFUSALS | _GOOD_AND_BAD,
    openapi_extra=_FORM,
)
async def introspect(token: _Token, introspections: Introspections) -> Introspection:
    """RFC 7662. A log-out, a block or a change of roles is seen at once, which verifying by the keys alone cannot.

    Roles and permissions are those of this moment. A refresh token is never active.
    """
    return await introspections.introspect(token)


@router.post(
    "/revoke",
    status_code=200,
    response_class=Response,
    summary="End the session of a token",
    response_description="What could be ended has ended.",
    responses=_REFUSALS,
    openapi_extra=_FORM,
)
async def revoke(token: _Token, introspections: Introspections, client: ClientAddress) -> None:
    """RFC 7009: end the session of a refresh token, a used one included, or of an access token that has not expired.

    The answer is 200 as well when there is nothing to end.
    """
    await introspections.revoke(token, client)
