"""POST /token/refresh and /logout: a client continues or ends a session."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response

from api.deps import Authentication, Sessions
from api.openapi.responses import COMMON_ERRORS, RATE_LIMITED_ERRORS, error_responses, validation_error
from api.problems import SEND_TOKEN
from api.request_context import ClientAddress
from api.strict_json import StrictJsonRoute
from jwt_tools.decorators import bearer_scheme, bearer_token
from models.context.audit import anonymous_actor
from models.errors import InvalidAccessToken, InvalidGrant
from models.requests.flows import LogoutRequest, RefreshRequest
from models.responses.tokens import Tokens

_MISSING = validation_error("refresh_token", "is required")

router = APIRouter(tags=["session"], route_class=StrictJsonRoute)


@router.post(
    "/token/refresh",
    summary="Refresh the tokens",
    response_description="A new access token and a new refresh token.",
    responses=error_responses(*RATE_LIMITED_ERRORS, _MISSING, InvalidGrant()),
)
async def refresh_tokens(form: RefreshRequest, sessions: Sessions, client: ClientAddress) -> Tokens:
    """Exchange a refresh token for a new access token, with the user's current roles, and the next refresh token.

    A refresh token is valid once. A repeat within ten seconds gets the same new refresh token, so that a lost answer or
    a second tab does not end the session. A later repeat is a sign of theft: the session ends, and its owner is
    notified by mail.
    """
    return await sessions.refresh(form.refresh_token.get_secret_value(), client)


@router.post(
    "/logout",
    status_code=204,
    response_class=Response,
    summary="Log out",
    response_description="The session has ended; its tokens are refused from now on.",
    responses=error_responses(*COMMON_ERRORS, _MISSING, InvalidAccessToken(SEND_TOKEN)),
    openapi_extra={"security": [{bearer_scheme.scheme_name: []}, {}]},
)
async def log_out(
    request: Request,
    sessions: Sessions,
    authenticator: Authentication,
    client: ClientAddress,
    form: LogoutRequest | None = None,
) -> None:
    """End the session of the `refresh_token` in the body or, without a body, of the access token.

    If a request has both, only the body counts, so that an expired access token does no harm.
    """
    if form is not None:
        await sessions.end_by_token(form.refresh_token.get_secret_value(), client)
    else:
        user = await authenticator.verify(bearer_token(request))
        await sessions.log_out(anonymous_actor(client, user.user_id), user.user_id, user.session_id)
