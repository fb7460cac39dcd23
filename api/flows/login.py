"""POST /login: tokens for whoever knows the password and reads the mail."""

from __future__ import annotations

from fastapi import APIRouter, Response

from api.deps import Flows, Logins
from api.openapi.examples import opened
from api.problems import RATE_LIMITED_ERRORS, error_responses
from api.request_context import CurrentClient, device_headers, set_device_token
from api.strict_json import StrictJsonRoute
from models.errors import AccountBlocked, BadCredentials, CodeReplaced, FlowGone, StepOutOfOrder, TooSoon, WrongCode
from models.requests.flows import CodeConfirmation, Credentials, ResendRequest
from models.responses.flows import FlowOpened
from models.responses.tokens import Tokens
from models.values.flow import LOGIN

router = APIRouter(prefix="/login", tags=["login"], route_class=StrictJsonRoute)


@router.post(
    "",
    status_code=202,
    summary="Start with the password: a code is mailed",
    response_description="The password is right; a flow is open, and a code is on its way.",
    responses=error_responses(*RATE_LIMITED_ERRORS, BadCredentials()) | opened("/login/confirm"),
)
async def open_login(form: Credentials, login: Logins, client: CurrentClient) -> FlowOpened:
    """Check the password, open a flow and have a code mailed. `login` is the login name or the e-mail address.

    A wrong password and an unknown name get one answer, after the same work.
    """
    return await login.start_login(form.login, form.password.get_secret_value(), client)


@router.post(
    "/confirm",
    summary="Give the code: get an access token",
    response_description="An access token; services verify it by the keys at `/.well-known/jwks.json`.",
    responses=error_responses(
        *RATE_LIMITED_ERRORS, WrongCode(attempts_left=2), CodeReplaced(), StepOutOfOrder(), FlowGone(), AccountBlocked()
    )
    | device_headers(200),
)
async def confirm_login(form: CodeConfirmation, login: Logins, client: CurrentClient, response: Response) -> Tokens:
    """Trade the mailed code for tokens. Put the `access_token` into **Authorize** above, to try `/me`.

    A flow has three guesses; at the last wrong one it is gone, whatever the code was.
    """
    finished = await login.confirm_login(form.session_key.get_secret_value(), form.code, client)
    return set_device_token(response, client, finished)


@router.post(
    "/resend",
    status_code=202,
    summary="Have another code mailed",
    response_description="Another code is on its way; the older one is dead.",
    responses=error_responses(*RATE_LIMITED_ERRORS, StepOutOfOrder(), FlowGone(), TooSoon())
    | opened("/login/confirm", expires_in=1735),
)
async def resend_login_code(form: ResendRequest, flows: Flows, client: CurrentClient) -> FlowOpened:
    """Have another code mailed; the session key stays, and so do the guesses spent."""
    return await flows.resend_code(LOGIN, form.session_key.get_secret_value(), client)
