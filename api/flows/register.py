"""POST /register: a person proves a mailed code, and gets an account."""

from __future__ import annotations

from fastapi import APIRouter, Response

from api.deps import Flows, Registrations, WishedLocale
from api.openapi.responses import COMMON_PASSWORD, RATE_LIMITED_ERRORS, error_responses, flow_opened
from api.request_context import CurrentClient, device_headers, set_device_token
from api.strict_json import StrictJsonRoute
from models.errors import FlowGone, LoginTaken, StepOutOfOrder, TooSoon, WrongCode
from models.requests.flows import CodeConfirmation, LoginChoice, Registration, ResendRequest
from models.responses.account import UserProfile
from models.responses.flows import FlowOpened
from models.values.flow import REGISTER

router = APIRouter(prefix="/register", tags=["register"], route_class=StrictJsonRoute)


@router.post(
    "",
    status_code=202,
    summary="Register, step 1: get a code by mail",
    response_description="A flow is open, and a code is mailed.",
    responses=error_responses(*RATE_LIMITED_ERRORS, COMMON_PASSWORD) | flow_opened("/register/confirm"),
)
async def open_registration(
    form: Registration, register: Registrations, wished: WishedLocale, client: CurrentClient
) -> FlowOpened:
    """Open a registration and mail a code. The answer is the same if the e-mail address or the login is taken.

    No account exists yet: send the `session_key` of the answer and the code from the mail to `/register/confirm`.
    """
    password = form.password.get_secret_value()
    return await register.start_registration(form.email, form.login, password, form.locale or wished, client)


@router.post(
    "/confirm",
    status_code=201,
    summary="Register, step 2: send the code, get the account",
    response_description="The new account.",
    responses=error_responses(
        *RATE_LIMITED_ERRORS,
        WrongCode(attempts_left=2),
        LoginTaken("The code is right, but the login is taken. Choose another one at /register/login."),
        StepOutOfOrder(),
        FlowGone(),
    )
    | device_headers(201),
)
async def confirm_registration(
    form: CodeConfirmation, register: Registrations, client: CurrentClient, response: Response
) -> UserProfile:
    """Exchange the mailed code for an account. If the login was taken meanwhile, continue at `/register/login`.

    A flow allows three attempts; after three wrong codes it ends, and even the right code is refused.
    """
    finished = await register.confirm_registration(form.session_key.get_secret_value(), form.code, client)
    return set_device_token(response, client, finished)


@router.post(
    "/login",
    status_code=201,
    summary="Register, step 3: choose another login if yours was taken",
    response_description="The new account.",
    responses=error_responses(*RATE_LIMITED_ERRORS, LoginTaken(attempts_left=4), StepOutOfOrder(), FlowGone())
    | device_headers(201),
)
async def choose_another_login(
    form: LoginChoice, register: Registrations, client: CurrentClient, response: Response
) -> UserProfile:
    """Choose another login after `/register/confirm` has answered `login_taken`; the session key is the same.

    The code is not needed again. You can try five logins.
    """
    finished = await register.choose_login(form.session_key.get_secret_value(), form.login, client)
    return set_device_token(response, client, finished)


@router.post(
    "/resend",
    status_code=202,
    summary="Get another code by mail",
    response_description="Another code is mailed; the earlier one is no longer valid.",
    responses=error_responses(*RATE_LIMITED_ERRORS, StepOutOfOrder(), FlowGone(), TooSoon())
    | flow_opened("/register/confirm", expires_in=1735),
)
async def resend_registration_code(form: ResendRequest, flows: Flows, client: CurrentClient) -> FlowOpened:
    """Mail another code. The session key and the number of attempts left stay the same."""
    return await flows.resend_code(REGISTER, form.session_key.get_secret_value(), client)
