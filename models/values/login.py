"""Login names."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, Field, StrictStr

from models.values.email import canonical_email
from models.values.patterns import fitting

_PATTERN = "[A-Za-z0-9_.-]{3,32}"
_of_our_form = fitting(_PATTERN, "must be 3 to 32 Latin letters, digits or any of _ . -")

Login = Annotated[
    StrictStr, AfterValidator(_of_our_form), Field(examples=["alice"], json_schema_extra={"pattern": f"^{_PATTERN}$"})
]
"""A name to log in with; kept as typed, unique without case, and never an e-mail address for want of an @."""


def canonical_login(login: str) -> str:
    """The form in which two logins are compared; plain lower-casing is exact, for a login is ASCII."""
    return login.lower()


def _canonical_identifier(identifier: str) -> str:
    return canonical_email(identifier) if "@" in identifier else canonical_login(_of_our_form(identifier))


Identifier = Annotated[
    StrictStr,
    AfterValidator(_canonical_identifier),
    Field(description="Login name or e-mail address.", min_length=3, max_length=254, examples=["alice"]),
]
"""What a person types to log in: a login name or an e-mail address, in canonical form after validation."""
