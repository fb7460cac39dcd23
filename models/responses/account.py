"""Responses about an account and its sessions."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from pydantic import Field

from models.responses.common import Answer
from models.values.locale import Locale


class UserProfile(Answer):
    """A user's account, as its owner sees it."""

    id: UUID = Field(examples=["019aaa3e-1c53-7a7d-9a2e-5d4f0c1b2a39"])
    email: str = Field(examples=["alice@example.com"])
    login: str = Field(examples=["alice"])
    locale: Locale = Field(description="Language of mails.", examples=["en"])
    roles: list[str] = Field(examples=[["user"]])
    permissions: list[str] = Field(
        description="What all roles of the user allow together.", examples=[["account:read", "account:write"]]
    )
    created_at: datetime = Field(examples=["2026-11-22T18:04:05.123456Z"])


class UserSession(Answer):
    """A session: one log-in and its refreshes."""

    id: UUID = Field(
        description="The claim `sid` of its access tokens.", examples=["019aaa3e-2f60-7c1e-8d4b-6a7b8c9d0e1f"]
    )
    user_agent: str = Field(
        description="The `User-Agent` header of the log-in.", examples=["Mozilla/5.0 (X11; Linux x86_64)"]
    )
    created_at: datetime = Field(description="Time of the log-in.", examples=["2026-11-22T18:04:05.123456Z"])
    last_used_at: datetime = Field(description="Time of the last refresh.", examples=["2026-11-22T19:10:00.123456Z"])
    expires_at: datetime = Field(
        description="When it ends if it is not refreshed.", examples=["2026-12-06T19:10:00.123456Z"]
    )


class OwnSession(UserSession):
    """A session of the signed-in user."""

    current: bool = Field(description="Whether this request belongs to it.", examples=[True])
