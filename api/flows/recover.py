"""POST /recover: a new password for whoever reads the mail."""

from __future__ import annotations

from fastapi import APIRouter, Response

from api.deps import Flows, Recoveries
from api.openapi.examples import COMMON_PASSWORD, opened
from api.problems import RATE_LIMITED_ERRORS, error_responses
from api.request_context import CurrentClient, device_headers, set_device_token
from api.strict_json import StrictJsonRoute
from models.errors import CodeReplaced, FlowGone, StepOutOfOrder, TooSoon, WeakPassword, WrongCode
from models.requests.flows import CodeConfirmation, PasswordChoice, Recovery, ResendRequest
from models.responses.flows import FlowOpened, NextStep
from models.values.flow import RECOVER

router = APIRouter(prefix="/recover", tags=["recover"], route_class=StrictJsonRoute)


@router.post(
    "",
    status_code=202,
    summary="Start: a code is mailed",
    response_description="A flow is open; a code is on its way, should the address have an account.",
    responses=error_responses(*RATE_LIMITED_ERRORS) | opened("/recover/confirm"),
)
async def open_recovery(form: Recovery, recover: Recoveries, client: CurrentClient) -> FlowOpened:
    """Open a flow and have a code mailed, should the address have an account; the answer is the same if not."""
    return await recover.start_recovery(form.email, client)


@router.post(
    "/confirm",
    summary="Give the code: get the key for the next step",
    response_description="A new session key, for `/recover/password`.",
    responses=error_responses(
        *RATE_LIMITED_ERRORS, WrongCode(attempts_left=2), CodeReplaced(), StepOutOfOrder(), FlowGone()
    ),
)
async def confirm_recovery(form: CodeConfirmation, recover: Recoveries, client: CurrentClient) -> NextStep:
    """Trade the mailed code for a new session key, which opens `/recover/password`; the old key is dead.

    A flow has three guesses; at the last wrong one it is gone, whatever the code was.
    """
    return await recover.confirm_recovery(form.session_key.get_secret_value(), form.code, client)


@router.post(
    "/password",
    status_code=204,
    response_class=Response,
    summary="Choose a new password",
    response_description="The password is changed.",
    responses=error_responses(*RATE_LIMITED_ERRORS, WeakPassword(COMMON_PASSWORD), StepOutOfOrder(), FlowGone())
    | device_headers(204),
)
async def choose_new_password(
    form: PasswordChoice, recover: Recoveries, client: CurrentClient, response: Response
) -> None:
    """Set the new password, with the session key from `/recover/confirm`; its owner is told by mail."""
    password = form.password.get_secret_value()
    set_device_token(
        response, client, await recover.set_password(form.session_key.get_secret_value(), password, client)
    )


@router.post(
    "/resend",
    status_code=202,
    summary="Have another code mailed",
    response_description="Another code is on its way, should the address have an account; the older one is dead.",
    responses=error_responses(*RATE_LIMITED_ERRORS, StepOutOfOrder(), FlowGone(), TooSoon())
    | opened("/recover/confirm", expires_in=1735),
)
async def resend_recovery_code(form: ResendRequest, flows: Flows, client: CurrentClient) -> FlowOpened:
    """Have another code mailed; the session key stays, and so do the guesses spent."""
    return await flows.resend_code(RECOVER, form.session_key.get_secret_value(), client)
