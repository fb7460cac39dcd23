"""Notices: mails without a code, which inform an owner of a change to the account."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from enum import StrEnum
from uuid import UUID

from database.mail.outbox import SEALED
from database.repositories import Db
from models.context.request_id import request_id

_LIFE = timedelta(hours=48)
"""How long a notice is tried (service.md, section 8)."""


class Notice(StrEnum):
    """The kinds of notices; each is the name of the template and of the kind of job."""

    PASSWORD_CHANGED = "password_changed"  # noqa: S105 - the name of a mail
    SESSION_ENDED = "session_ended"
    LOGIN_CHANGED = "login_changed"
    EMAIL_CHANGED = "email_changed"
    ACCOUNT_DELETED = "account_deleted"
    INVITATION = "invitation"
    ACCOUNT_BLOCKED = "account_blocked"
    ACCOUNT_UNBLOCKED = "account_unblocked"


async def notify(db: Db, notice: Notice, user_id: UUID, sealed: str = "") -> None:
    """Enqueue a notice; it is sent if, and only if, this transaction commits.

    It goes to the address that the account has when the mail leaves, or to ``sealed``: an encrypted address that the
    account has no more, see `backend/mail/sealed_recipient.py`.
    """
    payload = {"user_id": str(user_id), "at": datetime.now(UTC).isoformat(), "request": request_id.get()}
    await db.outbox.create(notice, payload | ({SEALED: sealed} if sealed else {}), give_up_after=_LIFE)
