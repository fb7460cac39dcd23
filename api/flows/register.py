"""POST /register: an account for whoever reads the mail."""

from __future__ import annotations

from fastapi import APIRouter, Response

from api.deps import Flows, Registrations, WishedLocale
from api.openapi.examples import COMMON_PASSWORD, opened
from api.problems import RATE_LIMITED_ERRORS, error_responses
from api.request_context import CurrentClient, device_headers, set_device_token
from api.strict_json import StrictJsonRoute
from models.errors import FlowGone, LoginTaken, StepOutOfOrder, TooSoon, WeakPassword, WrongCode
from models.requests.flows import CodeConfirmation, LoginChoice, Registration, ResendRequest
from models.responses.account import UserProfile
from models.responses.flows import FlowOpened
from models.values.flow import REGISTER

router = APIRouter(prefix="/register", tags=["register"], route_class=StrictJsonRoute)


@router.post(
    "",
    status_code=202,
    summary="Start: a code is mailed",
    response_description="A flow is open, and a code is on its way.",
    responses=error_responses(*RATE_LIMITED_ERRORS, WeakPassword(COMMON_PASSWORD)) | opened("/register/confirm"),
)
async def open_registration(
    form: Registration, register: Registrations, wished: WishedLocale, client: CurrentClient
) -> FlowOpened:
    """Open a registration and have a code mailed. The answer is the same for a taken e-mail or login.

    No account exists yet: send the `session_key` of the answer and the code from the mail to `/register/confirm`.
    """
    password = form.password.get_secret_value()
    return await register.start_registration(form.email, form.login, password, form.locale or wished, client)


@router.post(
    "/confirm",
    status_code=201,
    summary="Give the code: the account is made",
    response_description="The new account.",
    responses=error_responses(
        *RATE_LIMITED_ERRORS,
        WrongCode(attempts_left=2),
        LoginTaken("The code was right, the login is taken. Choose another at /register/login."),
        StepOutOfOrder(),
        FlowGone(),
    )
    | device_headers(201),
)
async def confirm_registration(
    form: CodeConfirmation, register: Registrations, client: CurrentClient, response: Response
) -> UserProfile:
    """Trade the mailed code for an account. When the login was taken meanwhile, go on at `/register/login`.

    A flow has three guesses; at the last wrong one it is gone, whatever the code was.
    """
    finished = await register.confirm_registration(form.session_key.get_secret_value(), form.code, client)
    return set_device_token(response, client, finished)


@router.post(
    "/login",
    status_code=201,
    summary="Only when the login was taken: choose another",
    response_description="The new account.",
    responses=error_responses(*RATE_LIMITED_ERRORS, LoginTaken(attempts_left=4), StepOutOfOrder(), FlowGone())
    | device_headers(201),
)
async def choose_another_login(
    form: LoginChoice, register: Registrations, client: CurrentClient, response: Response
) -> UserProfile:
    """Choose another login, after `/register/confirm` said `login_taken`; the session key is the same.

    The code needs no repeat. Five logins may be tried.
    """
    finished = await register.choose_login(form.session_key.get_secret_value(), form.login, client)
    return set_device_token(response, client, finished)


@router.post(
    "/resend",
    status_code=202,
    summary="Have another code mailed",
    response_description="Another code is on its way; the older one is dead.",
    responses=error_responses(*RATE_LIMITED_ERRORS, StepOutOfOrder(), FlowGone(), TooSoon())
    | opened("/register/confirm", expires_in=1735),
)
async def resend_registration_code(form: ResendRequest, flows: Flows, client: CurrentClient) -> FlowOpened:
    """Have another code mailed; the session key stays, and so do the guesses spent."""
    return await flows.resend_code(REGISTER, form.session_key.get_secret_value(), client)
