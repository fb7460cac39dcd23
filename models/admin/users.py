"""Requests and responses of /admin/users."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from pydantic import Field, StrictStr

from models.admin.pagination import CURSOR_DESCRIPTION, Page, PageQuery, UuidCursor
from models.requests.flows import Form, Printable
from models.responses.account import UserProfile
from models.values.email import Email
from models.values.locale import Locale
from models.values.login import Login


class UserQuery(PageQuery):
    """Filters of the user search; an absent filter matches every user."""

    q: Annotated[StrictStr, Printable] | None = Field(
        None,
        min_length=1,
        max_length=254,
        description="Start of the login or of the e-mail address, or the complete user id.",
    )
    role: Annotated[StrictStr, Printable] | None = Field(
        None, min_length=1, max_length=64, description="Only users with this role."
    )
    blocked: bool | None = Field(
        None, description="`true`: only blocked users; `false`: only users who are not blocked."
    )
    cursor: UuidCursor | None = Field(None, description=CURSOR_DESCRIPTION)


class Invitation(Form):
    """An account to create; its owner gets an invitation by mail."""

    email: Annotated[Email, Printable]
    login: Annotated[Login, Printable]
    locale: Annotated[Locale, Field(strict=False)] | None = Field(
        None, description="Language of mails; taken from `Accept-Language` if absent.", examples=["en"]
    )


class AdminUser(UserProfile):
    """A user as administrators see it."""

    blocked_at: datetime | None = Field(
        description="When the account was blocked; null if it is not blocked.", examples=[None]
    )
    has_password: bool = Field(
        description="False until an invited user has chosen a password at `/recover`.", examples=[True]
    )


class UserPage(Page[AdminUser]):
    """Users, newest first."""
