"""Requests by which users change their own account."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from models.requests.flows import Form, Password, Printable, TypedPassword
from models.values.email import Email
from models.values.locale import Locale
from models.values.login import Login


class PasswordChange(Form):
    """The current password and the new one."""

    current_password: TypedPassword
    password: Password


class LoginChange(Form):
    """The current password and the new login."""

    password: TypedPassword
    login: Annotated[Login, Printable]


class LocaleChange(Form):
    """The new language of mails."""

    locale: Annotated[Locale, Field(strict=False, description="Language of mails.", examples=["ru"])]


class EmailChange(Form):
    """The current password and the new address."""

    password: TypedPassword
    email: Annotated[Email, Printable]
