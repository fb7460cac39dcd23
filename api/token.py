"""POST /token/refresh and /logout: a session goes on, or ends."""

from __future__ import annotations

from fastapi import APIRouter, Response

from api.caller import FromAddress
from api.deps import MaybeBearer, Sessions
from api.json_body import StrictJsonRoute
from api.problems import ALWAYS, LIMITED, SEND_TOKEN, documented
from models.answers import Tokens
from models.errors import InvalidAccessToken, InvalidGrant
from models.forms import LogoutRequest, RefreshRequest

router = APIRouter(tags=["session"], route_class=StrictJsonRoute)


@router.post(
    "/token/refresh",
    summary="Trade a refresh token for the next one",
    response_description="A new access token, and the refresh token to use next time.",
    responses=documented(*LIMITED, InvalidGrant("Log in again.")),
)
async def refresh_tokens(form: RefreshRequest, sessions: Sessions, caller: FromAddress) -> Tokens:
    """Go on with a session. The new access token has the roles of this moment.

    A refresh token is good once. Within ten seconds a repeat gives the same successor, so that a lost answer or a
    second tab costs nobody a log-in; a later one ends the session and tells its owner by mail, for then two have it.
    """
    return await sessions.refresh(form.refresh_token.get_secret_value(), caller)


@router.post(
    "/logout",
    status_code=204,
    response_class=Response,
    summary="End the session",
    response_description="The session has ended; its tokens are refused from now on.",
    responses=documented(*ALWAYS, InvalidAccessToken(SEND_TOKEN)),
)
async def log_out(sessions: Sessions, bearer: MaybeBearer, form: LogoutRequest | None = None) -> None:
    """End the session of the access token or, when there is none, of the `refresh_token` in the body."""
    if bearer is not None:
        await sessions.log_out(bearer.user_id, bearer.session_id)
    elif form is not None:
        await sessions.end_by_token(form.refresh_token.get_secret_value())
    else:
        raise InvalidAccessToken(SEND_TOKEN)
