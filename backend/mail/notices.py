"""Notices: mails that carry no code and tell an owner what has happened to the account."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from enum import StrEnum
from uuid import UUID

from database.engine import Db
from database.outbox import SEALED
from models.context.request_id import request_id

_LIFE = timedelta(hours=48)
"""How long a notice is tried (design.md, section 8)."""


class Notice(StrEnum):
    """What an owner is told; the name of the mail, and of its kind of job."""

    PASSWORD_CHANGED = "password_changed"  # noqa: S105 - the name of a mail
    SESSION_ENDED = "session_ended"
    LOGIN_CHANGED = "login_changed"
    EMAIL_CHANGED = "email_changed"
    ACCOUNT_DELETED = "account_deleted"
    INVITATION = "invitation"
    ACCOUNT_BLOCKED = "account_blocked"
    ACCOUNT_UNBLOCKED = "account_unblocked"


async def notify(db: Db, notice: Notice, user_id: UUID, sealed: str = "") -> None:
    """Have the owner told by mail, if and only if this transaction commits.

    It goes to the address that the account has when it leaves; ``sealed`` is in its place an address that the account
    has no more, see `backend/mail/sealed_recipient.py`.
    """
    job = {"user_id": str(user_id), "at": datetime.now(UTC).isoformat(), "request": request_id.get()}
    await db.outbox.create(notice, job | ({SEALED: sealed} if sealed else {}), give_up_after=_LIFE)
