"""/me/delete: users delete their own account."""

from __future__ import annotations

from fastapi import APIRouter, Depends, Response

from api.deps import Deletions, Flows
from api.openapi.responses import RATE_LIMITED_ERRORS, error_responses, flow_opened, permission_errors
from api.request_context import CurrentUser, CurrentUserOnDevice
from api.strict_json import StrictJsonRoute
from jwt_tools.decorators import guard, requires
from models.errors import FlowGone, LastAdministrator, TooSoon, WrongCode
from models.requests.flows import CodeConfirmation, ResendRequest
from models.responses.flows import FlowOpened
from models.values.flow import DELETE
from models.values.permission import Permission

router = APIRouter(prefix="/me/delete", tags=["account"], route_class=StrictJsonRoute, dependencies=[Depends(guard)])

_REFUSALS = (*permission_errors(Permission.ACCOUNT_WRITE), *RATE_LIMITED_ERRORS)


@router.post(
    "",
    status_code=202,
    summary="Delete your account, step 1: get a code by mail",
    response_description="A flow is open; a code is mailed to the account's address.",
    responses=error_responses(*_REFUSALS) | flow_opened("/me/delete/confirm"),
)
@requires(Permission.ACCOUNT_WRITE)
async def open_deletion(deletions: Deletions, owner: CurrentUserOnDevice) -> FlowOpened:
    """Mail a code to the account's address. Nothing is deleted yet."""
    return await deletions.start_deletion(owner)


@router.post(
    "/confirm",
    status_code=204,
    response_class=Response,
    summary="Delete your account, step 2: send the code",
    response_description="The account is deleted.",
    responses=error_responses(*_REFUSALS, WrongCode(attempts_left=2), LastAdministrator(), FlowGone()),
)
@requires(Permission.ACCOUNT_WRITE)
async def confirm_deletion(form: CodeConfirmation, deletions: Deletions, owner: CurrentUser) -> None:
    """Delete the account, its sessions and all data about it.

    Only lines of the audit log remain, with ids and masked names. To keep your data, call `/me/export` first.
    """
    await deletions.confirm_deletion(owner, form.session_key.get_secret_value(), form.code)


@router.post(
    "/resend",
    status_code=202,
    summary="Get another code by mail",
    response_description="Another code is mailed; the earlier one is no longer valid.",
    responses=error_responses(*_REFUSALS, FlowGone(), TooSoon()) | flow_opened("/me/delete/confirm", expires_in=1735),
)
@requires(Permission.ACCOUNT_WRITE)
async def resend_deletion_code(form: ResendRequest, flows: Flows, owner: CurrentUser) -> FlowOpened:
    """Mail another code. The session key and the number of attempts left stay the same."""
    return await flows.resend_code(DELETE.held_by(owner.user_id), form.session_key.get_secret_value(), owner.client)
