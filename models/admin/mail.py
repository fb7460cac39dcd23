"""Requests and responses of /admin/mail."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from uuid import UUID

from pydantic import Field

from models.admin.pagination import CURSOR_DESCRIPTION, NumberCursor, Page, PageQuery
from models.responses.common import Answer


class MailState(StrEnum):
    """The states of an unsent mail."""

    WAITING = "waiting"
    DEAD = "dead"


class MailQuery(PageQuery):
    """Filters of the list of unsent mail."""

    state: MailState | None = Field(
        None, description="`waiting` mail is retried until it is sent; `dead` letters are not retried any more."
    )
    cursor: NumberCursor | None = Field(None, description=CURSOR_DESCRIPTION)


class QueuedMail(Answer):
    """An unsent mail; neither its address nor its text is stored with it."""

    id: int = Field(examples=[4711])
    kind: str = Field(description="The kind of mail; `code` for every one-time code.", examples=["password_changed"])
    user_id: UUID | None = Field(
        description="The user whose account it is about; null for a code, which belongs to a flow.",
        examples=["019aaa3e-1c53-7a7d-9a2e-5d4f0c1b2a39"],
    )
    attempts: int = Field(description="Number of attempts to send it.", examples=[3])
    created_at: datetime = Field(examples=["2026-11-22T18:04:05.123456Z"])
    due_at: datetime = Field(
        description="Time of the next attempt; during an attempt, a few seconds in the future.",
        examples=["2026-11-22T18:11:05.123456Z"],
    )
    gives_up_at: datetime = Field(
        description="When it becomes a dead letter if it is still unsent.", examples=["2026-11-24T18:04:05.123456Z"]
    )
    failed_at: datetime | None = Field(
        description="When it became a dead letter; null while it is waiting.", examples=[None]
    )
    last_error: str | None = Field(
        description="Why the last attempt failed; of the mail server's answer, only its status codes.",
        examples=["recipient: mail.example.net:25: 450 4.2.0"],
    )


class MailPage(Page[QueuedMail]):
    """Unsent mail, newest first."""
