"""POST /recover: a user enters a mailed code and chooses a new password."""

from __future__ import annotations

from fastapi import APIRouter, Response

from api.deps import Flows, Recoveries
from api.openapi.responses import COMMON_PASSWORD, RATE_LIMITED_ERRORS, error_responses, flow_opened
from api.request_context import CurrentClient, device_headers, set_device_token
from api.strict_json import StrictJsonRoute
from models.errors import CodeReplaced, FlowGone, StepOutOfOrder, TooSoon, WrongCode
from models.requests.flows import CodeConfirmation, PasswordChoice, Recovery, ResendRequest
from models.responses.flows import FlowOpened, NextStep
from models.values.flow import RECOVER

router = APIRouter(prefix="/recover", tags=["recover"], route_class=StrictJsonRoute)


@router.post(
    "",
    status_code=202,
    summary="Recover, step 1: get a code by mail",
    response_description="A flow is open; a code is mailed if the address has an account.",
    responses=error_responses(*RATE_LIMITED_ERRORS) | flow_opened("/recover/confirm"),
)
async def open_recovery(form: Recovery, recover: Recoveries, client: CurrentClient) -> FlowOpened:
    """Open a flow and mail a code if the address has an account. The answer is the same if it has none."""
    return await recover.start_recovery(form.email, client)


@router.post(
    "/confirm",
    summary="Recover, step 2: send the code",
    response_description="A new session key, for `/recover/password`.",
    responses=error_responses(
        *RATE_LIMITED_ERRORS, WrongCode(attempts_left=2), CodeReplaced(), StepOutOfOrder(), FlowGone()
    ),
)
async def confirm_recovery(form: CodeConfirmation, recover: Recoveries, client: CurrentClient) -> NextStep:
    """Exchange the mailed code for the session key of `/recover/password`; the earlier key is no longer valid.

    A flow allows three attempts; after three wrong codes it ends, and even the right code is refused.
    """
    return await recover.confirm_recovery(form.session_key.get_secret_value(), form.code, client)


@router.post(
    "/password",
    status_code=204,
    response_class=Response,
    summary="Recover, step 3: choose a new password",
    response_description="The password is changed.",
    responses=error_responses(*RATE_LIMITED_ERRORS, COMMON_PASSWORD, StepOutOfOrder(), FlowGone())
    | device_headers(204),
)
async def choose_new_password(
    form: PasswordChoice, recover: Recoveries, client: CurrentClient, response: Response
) -> None:
    """Set the new password, with the session key from `/recover/confirm`. The user is notified by mail."""
    password = form.password.get_secret_value()
    set_device_token(
        response, client, await recover.set_password(form.session_key.get_secret_value(), password, client)
    )


@router.post(
    "/resend",
    status_code=202,
    summary="Get another code by mail",
    response_description="Another code is mailed if the address has an account; the earlier one is no longer valid.",
    responses=error_responses(*RATE_LIMITED_ERRORS, StepOutOfOrder(), FlowGone(), TooSoon())
    | flow_opened("/recover/confirm", expires_in=1735),
)
async def resend_recovery_code(form: ResendRequest, flows: Flows, client: CurrentClient) -> FlowOpened:
    """Mail another code. The session key and the number of attempts left stay the same."""
    return await flows.resend_code(RECOVER, form.session_key.get_secret_value(), client)
