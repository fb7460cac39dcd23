"""/admin/mail: administrators read unsent mail and have it sent again."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Path, Query, Response

from api.deps import AdminMail
from api.openapi.responses import error_responses, permission_errors, validation_error
from api.request_context import CurrentActor
from jwt_tools.decorators import guard, requires
from models.admin.mail import MailPage, MailQuery
from models.errors import MailNotFound
from models.values.permission import Permission

router = APIRouter(prefix="/admin/mail", tags=["mail"], dependencies=[Depends(guard)])

MailId = Annotated[int, Path(ge=1, le=2**63 - 1)]


@router.get(
    "",
    summary="List unsent mail",
    response_description="A page of waiting mail and dead letters, newest first.",
    responses=error_responses(
        *permission_errors(Permission.MAIL_READ), validation_error("query.state", "Input should be 'waiting' or 'dead'")
    ),
)
@requires(Permission.MAIL_READ)
async def list_mail(query: Annotated[MailQuery, Query()], mail: AdminMail) -> MailPage:
    """List the mail that waits to be sent, and the dead letters, which are not retried. Sent mail is not stored."""
    return await mail.search(query)


@router.post(
    "/{mail_id}/send-again",
    status_code=204,
    response_class=Response,
    summary="Send a mail again",
    response_description="The mail is due now.",
    responses=error_responses(
        *permission_errors(Permission.MAIL_WRITE),
        MailNotFound(),
        validation_error("path.mail_id", "Input should be greater than or equal to 1"),
    ),
)
@requires(Permission.MAIL_WRITE)
async def send_mail_again(mail_id: MailId, actor: CurrentActor, mail: AdminMail) -> None:
    """Send a mail now; a dead letter is retried for as long as it was at first.

    A mail that is being sent at this moment stays as it is. A code whose flow has ended is not sent, since it would be
    of no use.
    """
    await mail.send_again(actor, mail_id)
