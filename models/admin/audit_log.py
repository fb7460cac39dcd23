"""Requests and responses of /admin/audit."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any
from uuid import UUID

from pydantic import AfterValidator, AwareDatetime, Field

from models.admin.pagination import CURSOR_DESCRIPTION, NumberCursor, Page, PageQuery
from models.context.audit import Event
from models.responses.common import Answer


def _in_utc(moment: datetime) -> datetime:
    """Convert to UTC, which fails on the first and the last day of the calendar in some time zones."""
    try:
        return moment.astimezone(UTC)
    except OverflowError:
        raise ValueError("must be a moment between the years 1 and 9999") from None


Moment = Annotated[AwareDatetime, AfterValidator(_in_utc)]


class AuditQuery(PageQuery):
    """Filters of the audit log; an absent filter matches every line."""

    event: Event | None = Field(None, description="What happened.")
    actor: UUID | None = Field(None, description="Id of the user who acted.")
    subject: UUID | None = Field(None, description="Id of the user whose account the line is about.")
    since: Moment | None = Field(None, description="At this time or later, such as `2026-11-22T18:00:00Z`.")
    until: Moment | None = Field(None, description="Before this time.")
    cursor: NumberCursor | None = Field(None, description=CURSOR_DESCRIPTION)


class AuditEntry(Answer):
    """A line of the audit log."""

    id: int = Field(examples=[815])
    at: datetime = Field(examples=["2026-11-22T18:04:05.123456Z"])
    event: str = Field(description="What happened.", examples=["user.blocked"])
    actor: UUID | None = Field(
        description="Id of the user who acted; null if the request came without a user.",
        examples=["019aaa3e-1c53-7a7d-9a2e-5d4f0c1b2a39"],
    )
    subject: UUID | None = Field(
        description="Id of the user whose account the line is about; the account may be deleted.",
        examples=["019aaa3f-7b10-7d2c-b1a0-3c5d7e9f1a2b"],
    )
    source: str = Field(description="The client's network, `command line` or `schedule`.", examples=["203.0.113.0/24"])
    details: dict[str, Any] = Field(
        description="Further facts about the event; names and addresses are masked.", examples=[{}]
    )
    times: int = Field(description="How often the event occurred; equal refusals share a line.", examples=[1])


class AuditPage(Page[AuditEntry]):
    """Lines of the audit log, newest first."""
