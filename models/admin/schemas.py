"""What administrators ask for, and what they are shown."""

from __future__ import annotations

from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated, Any
from uuid import UUID

from pydantic import AfterValidator, AwareDatetime, Field, StrictStr

from models.admin.pagination import NumberCursor, Page, PageQuery, UuidCursor
from models.context.audit import Event
from models.requests.flows import Form, Printable
from models.responses.common import Answer, UserProfile
from models.values.email import Email
from models.values.locale import Locale
from models.values.login import Login

_NEXT = "The `next` of the page before."


# Users.


class UserQuery(PageQuery):
    """Which users are wanted; what is left out does not matter."""

    q: Annotated[StrictStr, Printable] | None = Field(
        None, min_length=1, max_length=254, description="How the login or the e-mail address begins; or the whole id."
    )
    role: Annotated[StrictStr, Printable] | None = Field(
        None, min_length=1, max_length=64, description="Those who have this role."
    )
    blocked: bool | None = Field(None, description="Those who are blocked, or those who are not.")
    cursor: UuidCursor | None = Field(None, description=_NEXT)


class Invitation(Form):
    """An account for somebody who is then mailed an invitation."""

    email: Annotated[Email, Printable]
    login: Annotated[Login, Printable]
    locale: Annotated[Locale, Field(strict=False)] | None = Field(
        None, description="Language of mails; by `Accept-Language` when absent.", examples=["en"]
    )


class AdminUser(UserProfile):
    """A user as an administrator may see it."""

    blocked_at: datetime | None = Field(description="Since when the account is blocked.", examples=[None])
    has_password: bool = Field(
        description="False while somebody who was invited has not chosen one by `/recover`.", examples=[True]
    )


class UserPage(Page[AdminUser]):
    """Users, the newest first."""


# Mail.


class MailState(StrEnum):
    """What may become of a mail that has not left."""

    WAITING = "waiting"
    DEAD = "dead"


class MailQuery(PageQuery):
    """Which mail is wanted."""

    state: MailState | None = Field(
        None, description="`waiting` mail is tried until it leaves; `dead` letters are tried no more."
    )
    cursor: NumberCursor | None = Field(None, description=_NEXT)


class QueuedMail(Answer):
    """A mail that has not left; neither its address nor its text is stored with it."""

    id: int = Field(examples=[4711])
    kind: str = Field(description="Which mail it is; `code` for every one-time code.", examples=["password_changed"])
    user_id: UUID | None = Field(
        description="Whose account it is about. A code belongs to a flow, and names nobody.",
        examples=["019aaa3e-1c53-7a7d-9a2e-5d4f0c1b2a39"],
    )
    attempts: int = Field(description="How often it was tried.", examples=[3])
    created_at: datetime = Field(examples=["2026-11-22T18:04:05.123456Z"])
    due_at: datetime = Field(
        description="When it is tried next; while it is being tried, a moment from now.",
        examples=["2026-11-22T18:11:05.123456Z"],
    )
    gives_up_at: datetime = Field(
        description="When it is a dead letter, should it not have left.", examples=["2026-11-24T18:04:05.123456Z"]
    )
    failed_at: datetime | None = Field(description="Since when it is a dead letter.", examples=[None])
    last_error: str | None = Field(
        description="What came of the last try: of a server's answer, its numbers alone.",
        examples=["recipient: mail.example.net:25: 450 4.2.0"],
    )


class MailPage(Page[QueuedMail]):
    """Mail, the newest first."""


# The audit log.


def _in_utc(moment: datetime) -> datetime:
    """The first and the last day there is have no time of day in some zones."""
    try:
        return moment.astimezone(UTC)
    except OverflowError:
        raise ValueError("must be a moment between the years 1 and 9999") from None


Moment = Annotated[AwareDatetime, AfterValidator(_in_utc)]


class AuditQuery(PageQuery):
    """Which lines are wanted; what is left out does not matter."""

    event: Event | None = Field(None, description="What happened.")
    actor: UUID | None = Field(None, description="Who did it.")
    subject: UUID | None = Field(None, description="Whose account it is about.")
    since: Moment | None = Field(None, description="Not before this moment, such as `2026-11-22T18:00:00Z`.")
    until: Moment | None = Field(None, description="Before this moment.")
    cursor: NumberCursor | None = Field(None, description=_NEXT)


class AuditEntry(Answer):
    """A line of the audit log."""

    id: int = Field(examples=[815])
    at: datetime = Field(examples=["2026-11-22T18:04:05.123456Z"])
    event: str = Field(description="What happened.", examples=["user.blocked"])
    actor: UUID | None = Field(
        description="Who did it, if somebody was signed in.", examples=["019aaa3e-1c53-7a7d-9a2e-5d4f0c1b2a39"]
    )
    subject: UUID | None = Field(
        description="Whose account it is about; it may be gone.", examples=["019aaa3f-7b10-7d2c-b1a0-3c5d7e9f1a2b"]
    )
    source: str = Field(description="The network where it came from, or `command line`.", examples=["203.0.113.0/24"])
    details: dict[str, Any] = Field(
        description="What else there is to say; names and addresses are masked.", examples=[{}]
    )
    times: int = Field(description="How often the same was refused within a moment.", examples=[1])


class AuditPage(Page[AuditEntry]):
    """Lines of the audit log, the newest first."""
