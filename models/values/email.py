"""E-mail addresses in their one canonical form."""

from __future__ import annotations

from typing import Annotated

from email_validator import EmailNotValidError, validate_email
from pydantic import AfterValidator, Field, StrictStr


def canonical_email(address: str) -> str:
    """Return the form in which an address is stored, compared and mailed to.

    The local part is ASCII and lower-cased; the domain goes through UTS 46 to A-labels. Two spellings of one mailbox
    have one form, and no look-alike letter survives to make a second account (CVE-2019-19844, CVE-2026-73420).

    Raises:
        ValueError: the text is not exactly one address of at most 254 characters (RFC 5321 section 4.5.3.1).
    """
    try:
        parsed = validate_email(address, allow_smtputf8=False, check_deliverability=False, strict=True)
    except EmailNotValidError:
        # The library's own text quotes the input.
        raise ValueError("must be one e-mail address, such as alice@example.com") from None
    return f"{parsed.local_part}@{parsed.ascii_domain}".lower()


Email = Annotated[
    StrictStr,
    Field(min_length=3, max_length=254, examples=["alice@example.com"]),
    AfterValidator(canonical_email),
]
