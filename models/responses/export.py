"""The export of a user's data."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from pydantic import Field

from models.responses.account import OwnSession, UserProfile
from models.responses.common import Answer

Whose = Literal["you", "somebody else"]
"""In place of the id: an export does not contain the ids of other users."""


class StoredPassword(Answer):
    """How the password is stored; neither the password nor its hash is exported."""

    algorithm: str = Field(examples=["pbkdf2_sha256"])
    iterations: int | None = Field(
        description="Null for an imported hash, which the next log-in replaces.", examples=[600000]
    )


class AuditedEvent(Answer):
    """A line of the audit log with the user as actor or as subject."""

    at: datetime = Field(examples=["2026-11-22T18:04:05.123456Z"])
    event: str = Field(examples=["login.succeeded"])
    by: Whose | None = Field(description="Who acted; null if the request came without a user.", examples=["you"])
    about: Whose | None = Field(description="Whose account the line is about.", examples=["you"])
    source: str = Field(description="The client's network, masked.", examples=["203.0.113.0/24"])
    details: dict[str, Any] = Field(
        description="Further facts; names and addresses are masked.", examples=[{"session": "019aaa3e-…"}]
    )
    times: int = Field(description="How often the event occurred; equal refusals share a line.", examples=[1])


class UnsentMail(Answer):
    """A mail that waits to be sent, or has failed."""

    kind: str = Field(examples=["password_changed"])
    created_at: datetime = Field(examples=["2026-11-22T18:04:05.123456Z"])
    next_try_at: datetime = Field(examples=["2026-11-22T18:04:20.123456Z"])
    given_up_at: datetime = Field(description="When attempts to send it end.", examples=["2026-11-24T18:04:05.123456Z"])
    failed_at: datetime | None = Field(
        description="When it failed for good; null while it is waiting.", examples=["2026-11-22T18:04:06.123456Z"]
    )


class GuessBudget(Answer):
    """Wrong codes that are still allowed for a purpose at the time ``at``, or that a mailed code reserves until it."""

    purpose: str = Field(examples=["login"])
    device: str = Field(
        description="Random id of a known device; empty for unknown devices.", examples=["5f2b8c0de4a94e0f"]
    )
    digits: int = Field(examples=[4])
    guesses: float = Field(examples=[3])
    at: datetime = Field(examples=["2026-11-22T18:04:05.123456Z"])


class Export(Answer):
    """Everything that the service has stored about a user."""

    exported_at: datetime = Field(examples=["2026-11-22T18:04:05.123456Z"])
    user: UserProfile
    blocked: bool = Field(description="Whether an administrator has blocked the account.", examples=[False])
    version: int = Field(description="Increased by each change that invalidates flows begun before it.", examples=[1])
    password: StoredPassword
    sessions: list[OwnSession]
    unsent_mails: list[UnsentMail]
    guess_budgets: list[GuessBudget]
    guesses_reserved: list[GuessBudget]
    kept_for_minutes: str = Field(
        description="Data that is not listed because it expires by itself within minutes or hours.",
        examples=["Valkey holds data that expires by itself: …"],
    )
    audit_log: list[AuditedEvent]


@dataclass(frozen=True, slots=True)
class ExportInPages:
    """An export whose audit log is read in pages, as it may not fit into memory."""

    head: Export
    """The export without the lines of the audit log."""
    pages: AsyncIterator[list[AuditedEvent]]
    """The lines of the audit log; no page is empty."""
