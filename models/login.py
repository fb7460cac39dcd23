"""Login names."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, Field, StrictStr, StringConstraints

from models.email import canonical_email

LOGIN_PATTERN = r"^[A-Za-z0-9_.-]{3,32}$"

Login = Annotated[StrictStr, StringConstraints(pattern=LOGIN_PATTERN), Field(examples=["alice"])]
"""A name to log in with; kept as typed, unique without case, and never an e-mail address for want of an @."""


def canonical_login(login: str) -> str:
    """The form in which two logins are compared; plain lower-casing is exact, for a login is ASCII."""
    return login.lower()


def _canonical_identifier(identifier: str) -> str:
    return canonical_email(identifier) if "@" in identifier else canonical_login(identifier)


Identifier = Annotated[
    StrictStr,
    StringConstraints(pattern=r"^([A-Za-z0-9_.-]{3,32}|[^@\s]+@[^@\s]+)$", max_length=254),
    AfterValidator(_canonical_identifier),
    Field(description="Login name or e-mail address.", examples=["alice"]),
]
"""What a person types to log in: a login name or an e-mail address, in canonical form after validation."""
