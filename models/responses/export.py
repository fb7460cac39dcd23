"""Everything that the service knows of a user, as its owner takes it along."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from pydantic import Field

from models.responses.common import Answer, OwnSession, UserProfile

Whose = Literal["you", "somebody else"]
"""Other people's ids are theirs."""


class StoredPassword(Answer):
    """How the password is kept; neither it nor its hash leaves the service."""

    algorithm: str = Field(examples=["pbkdf2_sha256"])
    iterations: int | None = Field(
        description="Of ours; what was imported is made anew at the next log-in.", examples=[600000]
    )


class AuditedEvent(Answer):
    """A line of the audit log that names the user."""

    at: datetime = Field(examples=["2026-11-22T18:04:05.123456Z"])
    event: str = Field(examples=["login.succeeded"])
    by: Whose | None = Field(description="Who did it, if somebody was signed in.", examples=["you"])
    about: Whose | None = Field(description="Whose account it is about.", examples=["you"])
    source: str = Field(description="The network that it came from, masked.", examples=["203.0.113.0/24"])
    details: dict[str, Any] = Field(description="Names in it are masked.", examples=[{"session": "019aaa3e-…"}])
    times: int = Field(description="How often, within a moment.", examples=[1])


class UnsentMail(Answer):
    """A mail that waits, or could not be sent."""

    kind: str = Field(examples=["password_changed"])
    created_at: datetime = Field(examples=["2026-11-22T18:04:05.123456Z"])
    next_try_at: datetime = Field(examples=["2026-11-22T18:04:20.123456Z"])
    given_up_at: datetime = Field(description="When it is tried no more.", examples=["2026-11-24T18:04:05.123456Z"])
    failed_at: datetime | None = Field(
        description="When it could not be sent for good.", examples=["2026-11-22T18:04:06.123456Z"]
    )


class GuessBudget(Answer):
    """Wrong codes that a purpose may still cost, as of a moment; or what a mailed code has taken, until then."""

    purpose: str = Field(examples=["login"])
    device: str = Field(description="A known device's random id, or nothing.", examples=["5f2b8c0de4a94e0f"])
    digits: int = Field(examples=[4])
    guesses: float = Field(examples=[3])
    at: datetime = Field(examples=["2026-11-22T18:04:05.123456Z"])


class Export(Answer):
    """Everything that the service knows of a user."""

    exported_at: datetime = Field(examples=["2026-11-22T18:04:05.123456Z"])
    user: UserProfile
    blocked: bool = Field(description="Whether an administrator has blocked the account.", examples=[False])
    version: int = Field(description="Raised by a change that ends what was begun before it.", examples=[1])
    password: StoredPassword
    sessions: list[OwnSession]
    unsent_mails: list[UnsentMail]
    guess_budgets: list[GuessBudget]
    guesses_reserved: list[GuessBudget]
    kept_for_minutes: str = Field(
        description="What is not listed, since it is gone by itself within minutes.",
        examples=["Valkey keeps, for at most 30 minutes, …"],
    )
    audit_log: list[AuditedEvent]


@dataclass(frozen=True, slots=True)
class ExportInPages:
    """An export whose audit log may be too long to be held at once."""

    head: Export
    """All but the lines of the audit log."""
    pages: AsyncIterator[list[AuditedEvent]]
    """These; none of them is empty."""
