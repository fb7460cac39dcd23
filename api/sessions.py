"""POST /token/refresh and /logout: a session goes on, or ends."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response

from api.deps import Authentication, Sessions
from api.problems import COMMON_ERRORS, RATE_LIMITED_ERRORS, SEND_TOKEN, error_responses, validation_error
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
    summary="Trade a refresh token for the next one",
    response_description="A new access token, and the refresh token to use next time.",
    responses=error_responses(*RATE_LIMITED_ERRORS, _MISSING, InvalidGrant()),
)
async def refresh_tokens(form: RefreshRequest, sessions: Sessions, client: ClientAddress) -> Tokens:
    """Go on with a session. The new access token has the roles of this moment; a blocked user gets none.

    A refresh token is good once. Within ten seconds a repeat gives the same successor, so that a lost answer or a
    second tab costs nobody a log-in; a later one ends the session and tells its owner by mail, for then two have it.
    """
    return await sessions.refresh(form.refresh_token.get_secret_value(), client)


@router.post(
    "/logout",
    status_code=204,
    response_class=Response,
    summary="End the session",
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

    Whoever sends both is heard by the body alone, so that an expired access token beside it does no harm.
    """
    if form is not None:
        await sessions.end_by_token(form.refresh_token.get_secret_value(), client)
    else:
        bearer = await authenticator.verify(bearer_token(request))
        await sessions.log_out(anonymous_actor(client, bearer.user_id), bearer.user_id, bearer.session_id)
