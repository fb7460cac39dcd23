"""What the owner of an account may send to change it."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from models.requests.flows import Form, Password, Printable, TypedPassword
from models.values.email import Email
from models.values.locale import Locale
from models.values.login import Login


class PasswordChange(Form):
    """The password that there is, and the one that is to be."""

    current_password: TypedPassword
    password: Password


class LoginChange(Form):
    """The password, and the login that is to be."""

    password: TypedPassword
    login: Annotated[Login, Printable]


class LocaleChange(Form):
    """The language that mails are to have."""

    locale: Annotated[Locale, Field(strict=False, description="Language of mails.", examples=["ru"])]


class EmailChange(Form):
    """The password, and the address that is to be."""

    password: TypedPassword
    email: Annotated[Email, Printable]
