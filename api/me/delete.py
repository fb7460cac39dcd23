"""/me/delete: the end of the own account."""

from __future__ import annotations

from fastapi import APIRouter, Depends, Response

from api.deps import Deletions
from api.openapi.examples import opened
from api.openapi.guarded import refusals
from api.problems import RATE_LIMITED_ERRORS, error_responses
from api.request_context import CurrentUser, CurrentUserOnDevice
from api.strict_json import StrictJsonRoute
from jwt_tools.decorators import guard, requires
from models.errors import FlowGone, LastAdministrator, TooSoon, WrongCode
from models.requests.flows import CodeConfirmation, ResendRequest
from models.responses.flows import FlowOpened
from models.values.permission import Permission

router = APIRouter(prefix="/me/delete", tags=["account"], route_class=StrictJsonRoute, dependencies=[Depends(guard)])

_REFUSALS = (*refusals(Permission.ACCOUNT_WRITE), *RATE_LIMITED_ERRORS)


@router.post(
    "",
    status_code=202,
    summary="Delete the own account: a code is mailed",
    response_description="A flow is open; a code is on its way to the account's address.",
    responses=error_responses(*_REFUSALS) | opened("/me/delete/confirm"),
)
@requires(Permission.ACCOUNT_WRITE)
async def open_deletion(deletions: Deletions, owner: CurrentUserOnDevice) -> FlowOpened:
    """Have a code mailed to the account's address. Nothing is deleted yet."""
    return await deletions.start_deletion(owner)


@router.post(
    "/confirm",
    status_code=204,
    response_class=Response,
    summary="Give the code: the account is deleted",
    response_description="The account is gone.",
    responses=error_responses(*_REFUSALS, WrongCode(attempts_left=2), LastAdministrator(), FlowGone()),
)
@requires(Permission.ACCOUNT_WRITE)
async def confirm_deletion(form: CodeConfirmation, deletions: Deletions, owner: CurrentUser) -> None:
    """Trade the mailed code for the end of the account, of its sessions and of all that is known of it.

    What is left are lines of the audit log, with ids and masked names. Take along `/me/export` before.
    """
    await deletions.confirm_deletion(owner, form.session_key.get_secret_value(), form.code)


@router.post(
    "/resend",
    status_code=202,
    summary="Have another code mailed",
    response_description="Another code is on its way; the older one is dead.",
    responses=error_responses(*_REFUSALS, FlowGone(), TooSoon()) | opened("/me/delete/confirm", expires_in=1735),
)
@requires(Permission.ACCOUNT_WRITE)
async def resend_deletion_code(form: ResendRequest, deletions: Deletions, owner: CurrentUser) -> FlowOpened:
    """Have another code mailed; the session key stays, and so do the guesses spent."""
    return await deletions.resend_code(owner, form.session_key.get_secret_value())
