"""/admin/mail: mail that has not left, for administrators."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Path, Query, Response

from api.deps import AdminMail
from api.openapi.guarded import refusals
from api.problems import error_responses, validation_error
from api.request_context import CurrentActor
from jwt_tools.decorators import guard, requires
from models.admin.mail import MailPage, MailQuery
from models.errors import MailNotFound
from models.values.permission import Permission

router = APIRouter(prefix="/admin/mail", tags=["mail"], dependencies=[Depends(guard)])

MailId = Annotated[int, Path(ge=1, le=2**63 - 1)]


@router.get(
    "",
    summary="List mail that has not left",
    response_description="A page of waiting mail and dead letters, the newest first.",
    responses=error_responses(
        *refusals(Permission.MAIL_READ), validation_error("query.state", "Input should be 'waiting' or 'dead'")
    ),
)
@requires(Permission.MAIL_READ)
async def list_mail(query: Annotated[MailQuery, Query()], mail: AdminMail) -> MailPage:
    """What waits for the mail server, and what was given up. Mail that has left is not kept."""
    return await mail.search(query)


@router.post(
    "/{mail_id}/send-again",
    status_code=204,
    response_class=Response,
    summary="Send a mail again",
    response_description="The mail is tried now.",
    responses=error_responses(
        *refusals(Permission.MAIL_WRITE),
        MailNotFound(),
        validation_error("path.mail_id", "Input should be greater than or equal to 1"),
    ),
)
@requires(Permission.MAIL_WRITE)
async def send_mail_again(mail_id: MailId, actor: CurrentActor, mail: AdminMail) -> None:
    """Have a mail tried at once; a dead letter is then tried for as long as it was at first.

    A mail that is being tried at this moment stays as it is. A code whose flow is over is not sent: it would open
    nothing.
    """
    await mail.send_again(actor, mail_id)
