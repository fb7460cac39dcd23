"""Login names."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, Field, StrictStr

from models.values.email import canonical_email
from models.values.patterns import pattern_validator

_PATTERN = "[A-Za-z0-9_.-]{3,32}"
_has_login_form = pattern_validator(_PATTERN, "must be 3 to 32 Latin letters, digits or any of _ . -")

Login = Annotated[
    StrictStr,
    AfterValidator(_has_login_form),
    Field(examples=["alice"], json_schema_extra={"pattern": f"^{_PATTERN}$"}),
]
"""A name to log in with: stored as typed, unique without regard to case, and never an e-mail address: it has no @."""


def canonical_login(login: str) -> str:
    """Return the form in which logins are compared; plain lower-casing is exact, since a login is ASCII."""
    return login.lower()


def _canonical_identifier(identifier: str) -> str:
    return canonical_email(identifier) if "@" in identifier else canonical_login(_has_login_form(identifier))


Identifier = Annotated[
    StrictStr,
    AfterValidator(_canonical_identifier),
    Field(description="Login name or e-mail address.", min_length=3, max_length=254, examples=["alice"]),
]
"""What a user types to log in: a login name or an e-mail address, in canonical form after validation."""
