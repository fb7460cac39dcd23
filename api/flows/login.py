"""POST /login: a user proves the password and a mailed code, and gets tokens."""

from __future__ import annotations

from fastapi import APIRouter, Response

from api.deps import Flows, Logins
from api.openapi.responses import RATE_LIMITED_ERRORS, error_responses, flow_opened
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
    summary="Log in, step 1: send the password, get a code by mail",
    response_description="The password is right; a flow is open, and a code is mailed.",
    responses=error_responses(*RATE_LIMITED_ERRORS, BadCredentials()) | flow_opened("/login/confirm"),
)
async def open_login(form: Credentials, login: Logins, client: CurrentClient) -> FlowOpened:
    """Check the password and mail a code. `login` is the login name or the e-mail address.

    A wrong password and an unknown name get the same answer, after the same amount of work.
    """
    return await login.start_login(form.login, form.password.get_secret_value(), client)


@router.post(
    "/confirm",
    summary="Log in, step 2: send the code, get tokens",
    response_description="Tokens; services verify the access token with the keys at `/.well-known/jwks.json`.",
    responses=error_responses(
        *RATE_LIMITED_ERRORS, WrongCode(attempts_left=2), CodeReplaced(), StepOutOfOrder(), FlowGone(), AccountBlocked()
    )
    | device_headers(200),
)
async def confirm_login(form: CodeConfirmation, login: Logins, client: CurrentClient, response: Response) -> Tokens:
    """Exchange the mailed code for tokens. To try `/me`, put the `access_token` into **Authorize** above.

    A flow allows three attempts; after three wrong codes it ends, and even the right code is refused.
    """
    finished = await login.confirm_login(form.session_key.get_secret_value(), form.code, client)
    return set_device_token(response, client, finished)


@router.post(
    "/resend",
    status_code=202,
    summary="Get another code by mail",
    response_description="Another code is mailed; the earlier one is no longer valid.",
    responses=error_responses(*RATE_LIMITED_ERRORS, StepOutOfOrder(), FlowGone(), TooSoon())
    | flow_opened("/login/confirm", expires_in=1735),
)
async def resend_login_code(form: ResendRequest, flows: Flows, client: CurrentClient) -> FlowOpened:
    """Mail another code. The session key and the number of attempts left stay the same."""
    return await flows.resend_code(LOGIN, form.session_key.get_secret_value(), client)
