"""/me/email: users change their own e-mail address."""

from __future__ import annotations

from fastapi import APIRouter, Depends, Response

from api.deps import EmailChanges, Flows
from api.openapi.responses import RATE_LIMITED_ERRORS, error_responses, flow_opened, permission_errors
from api.request_context import CurrentUser, CurrentUserOnDevice, device_headers, set_device_token
from api.strict_json import StrictJsonRoute
from jwt_tools.decorators import guard, requires
from models.errors import FlowGone, TooSoon, WrongCode, WrongPassword
from models.requests.account import EmailChange
from models.requests.flows import CodeConfirmation, ResendRequest
from models.responses.account import UserProfile
from models.responses.flows import FlowOpened
from models.values.flow import EMAIL
from models.values.permission import Permission

router = APIRouter(prefix="/me/email", tags=["account"], route_class=StrictJsonRoute, dependencies=[Depends(guard)])

_REFUSALS = (*permission_errors(Permission.ACCOUNT_WRITE), *RATE_LIMITED_ERRORS)


@router.post(
    "",
    status_code=202,
    summary="Change your address, step 1: get a code by mail",
    response_description="A flow is open; a code is mailed to the new address if it is free.",
    responses=error_responses(*_REFUSALS, WrongPassword()) | flow_opened("/me/email/confirm"),
)
@requires(Permission.ACCOUNT_WRITE)
async def open_email_change(form: EmailChange, changes: EmailChanges, owner: CurrentUser) -> FlowOpened:
    """Check the password and mail a code to the new address. The answer is the same if the address is taken.

    Nothing is changed yet.
    """
    return await changes.start_email_change(owner, form.password.get_secret_value(), form.email)


@router.post(
    "/confirm",
    summary="Change your address, step 2: send the code",
    response_description="The account with its new address.",
    responses=error_responses(*_REFUSALS, WrongCode(attempts_left=2), FlowGone()) | device_headers(200),
)
@requires(Permission.ACCOUNT_WRITE)
async def confirm_email_change(
    form: CodeConfirmation, changes: EmailChanges, owner: CurrentUserOnDevice, response: Response
) -> UserProfile:
    """Change the address; the old address is notified by mail.

    Log-ins and recoveries that were begun with the old address end. If another account has taken the new address
    meanwhile, the answer is 410.
    """
    key = form.session_key.get_secret_value()
    return set_device_token(response, owner.client, await changes.confirm_email_change(owner, key, form.code))


@router.post(
    "/resend",
    status_code=202,
    summary="Get another code by mail at the new address",
    response_description="Another code is mailed if the address is free; the earlier one is no longer valid.",
    responses=error_responses(*_REFUSALS, FlowGone(), TooSoon()) | flow_opened("/me/email/confirm", expires_in=1735),
)
@requires(Permission.ACCOUNT_WRITE)
async def resend_email_code(form: ResendRequest, flows: Flows, owner: CurrentUser) -> FlowOpened:
    """Mail another code. The session key and the number of attempts left stay the same."""
    return await flows.resend_code(EMAIL.held_by(owner.user_id), form.session_key.get_secret_value(), owner.client)
