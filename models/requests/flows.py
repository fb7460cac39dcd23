"""Request bodies: unknown fields are refused, nothing is coerced, and no refusal repeats what was sent."""

from __future__ import annotations

import unicodedata
from typing import Annotated

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, SecretStr, StrictStr

from models.responses.flows import SESSION_KEY_EXAMPLE
from models.responses.tokens import REFRESH_TOKEN_EXAMPLE
from models.values.email import Email
from models.values.locale import Locale
from models.values.login import Identifier, Login
from models.values.patterns import pattern_validator

PASSWORD_LENGTH = (8, 128)
"""Code points after NFKC: NIST SP 800-63B section 3.1.1.2 asks for at least 8 and for 64 or more to be allowed."""

PASSWORD_BYTES = 512
"""UTF-8 bytes after NFKC: 128 code points of four bytes fit, so that no password is ever cut off."""


def _printable(value: object) -> object:
    """Refuse NUL and other control characters, and lone surrogates: neither PostgreSQL nor a mail header takes them."""
    if not isinstance(value, str):
        raise ValueError("must be a string")  # noqa: TRY004 - pydantic turns ValueError alone into a refusal
    if any(unicodedata.category(character) in ("Cc", "Cs") for character in value):
        raise ValueError("must not contain control characters or lone surrogates")
    return value


def _normalised(password: SecretStr) -> SecretStr:
    """Apply NFKC: a password typed on two keyboards stays one password (NIST SP 800-63B section 3.1.1.2)."""
    value = unicodedata.normalize("NFKC", password.get_secret_value())
    shortest, longest = PASSWORD_LENGTH
    if not shortest <= len(value) <= longest or len(value.encode()) > PASSWORD_BYTES:
        raise ValueError(f"must have {shortest} to {longest} characters")
    return SecretStr(value)


Printable = BeforeValidator(_printable)

Password = Annotated[
    SecretStr,
    Printable,
    # NFKC may lengthen a text up to 18 times (U+FDFA); the raw bound keeps that work small.
    Field(min_length=1, max_length=512, examples=["correct horse battery"]),
    AfterValidator(_normalised),
]
TypedPassword = Annotated[SecretStr, Printable, Field(min_length=1, max_length=512, examples=["correct horse battery"])]
"""A password as typed at log-in: it may be an older one, which today's rules would refuse."""

SessionKey = Annotated[
    SecretStr,
    Printable,
    Field(min_length=64, max_length=64, description="The key from the step before.", examples=[SESSION_KEY_EXAMPLE]),
]
TypedRefreshToken = Annotated[
    SecretStr,
    Printable,
    Field(
        min_length=1, max_length=200, description="From the last answer with tokens.", examples=[REFRESH_TOKEN_EXAMPLE]
    ),
]
RESCUE_LENGTH = 26
"""Letters of a rescue code: 128 bits in base32 (RFC 4648 section 6), without its padding."""

_CODE = f"[0-9]{{4,12}}|[A-Z2-7]{{{RESCUE_LENGTH}}}"
Code = Annotated[
    StrictStr,
    Printable,
    AfterValidator(pattern_validator(_CODE, "must be the digits from the mail, or its rescue code, as a text")),
    Field(
        description="The digits from the mail, or the rescue code that the mail carries during an attack.",
        examples=["0427"],
        json_schema_extra={"pattern": f"^({_CODE})$"},
    ),
]


class Form(BaseModel):
    """A request body."""

    model_config = ConfigDict(extra="forbid", strict=True, hide_input_in_errors=True, frozen=True)


class Registration(Form):
    """A new account, still to be confirmed."""

    email: Annotated[Email, Printable]
    login: Annotated[Login, Printable]
    password: Password
    locale: Annotated[Locale, Field(strict=False)] | None = Field(
        None, description="Language of mails; by `Accept-Language` when absent.", examples=["en"]
    )


class Credentials(Form):
    """A login name or an e-mail address, and the password."""

    login: Annotated[Identifier, Printable]
    password: TypedPassword


class Recovery(Form):
    """The address of the account whose password is lost."""

    email: Annotated[Email, Printable]


class CodeConfirmation(Form):
    """A mailed code and the session key it belongs to."""

    session_key: SessionKey
    code: Code


class LoginChoice(Form):
    """Another login, because the first one is taken."""

    session_key: SessionKey
    login: Annotated[Login, Printable]


class PasswordChoice(Form):
    """A new password."""

    session_key: SessionKey
    password: Password


class RefreshRequest(Form):
    """A refresh token, which is replaced by the next one."""

    refresh_token: TypedRefreshToken


class LogoutRequest(Form):
    """A refresh token whose session is to end, for clients without an access token."""

    refresh_token: TypedRefreshToken


class ResendRequest(Form):
    """A request for another code."""

    session_key: SessionKey
