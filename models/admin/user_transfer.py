"""A user in the file of import-users and export-users: one line of NDJSON."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any
from uuid import UUID

from pydantic import BeforeValidator, Field, StrictStr, ValidationError
from uuid_utils.compat import uuid7

from models.requests.flows import Form, Printable
from models.values import strict_json
from models.values.email import Email
from models.values.locale import Locale
from models.values.login import Login
from models.values.permission import USER_ROLE


def _moment(value: object) -> object:
    """Return the UTC time of an ISO 8601 text; a number is refused, as it may count seconds or milliseconds."""
    if isinstance(value, str):
        try:
            moment = datetime.fromisoformat(value)
            if moment.tzinfo is not None:
                return moment.astimezone(UTC)
        except (ValueError, OverflowError):
            pass
    raise ValueError("must be a time with its zone, such as 2026-01-31T12:00:00Z")


def _user_id(value: object) -> object:
    if isinstance(value, str):
        try:
            # The id of zero bits is reserved for the dummy account of database/users.py.
            if (user_id := UUID(value)).int:
                return user_id
        except ValueError:
            pass
    raise ValueError("must be an id, such as 019aaa3e-1c53-7a7d-9a2e-5d4f0c1b2a39")


class UserRecord(Form):
    """A user to import or export; only e-mail and login are required."""

    email: Annotated[Email, Printable]
    login: Annotated[Login, Printable]
    password_hash: Annotated[StrictStr, Printable, Field(max_length=512)] | None = None
    locale: Annotated[Locale, Field(strict=False)] = Locale.EN
    roles: list[Annotated[StrictStr, Printable]] = Field(default_factory=lambda: [USER_ROLE])
    blocked: bool = False
    created_at: Annotated[datetime, BeforeValidator(_moment)] = Field(default_factory=lambda: datetime.now(UTC))
    id: Annotated[UUID, BeforeValidator(_user_id)] = Field(default_factory=uuid7)


_FIELDS = ", ".join(UserRecord.model_fields)
_MESSAGES = {
    "missing": "is required",
    "extra_forbidden": f"is not a field of a user; the fields are {_FIELDS}",
    "model_type": strict_json.REFUSAL,
    "too_long": "is too long",
}


def _message(problem: Any) -> str:
    """Describe an error without quoting input; an unknown field's name is input, too."""
    foreign = problem["type"] == "extra_forbidden"
    field = "(unknown field)" if foreign else ".".join(part for part in problem["loc"] if isinstance(part, str))
    message = _MESSAGES.get(problem["type"]) or str(problem["msg"]).removeprefix("Value error, ")
    return f"{field}: {message}" if field else message


def record_line(user: UserRecord) -> bytes:
    """Return the line of a user; `parse_record` reads it."""
    return user.model_dump_json().encode() + b"\n"


def parse_record(line: bytes) -> UserRecord:
    """Return the user of a line.

    Raises:
        ValueError: the line is not a user; the message gives the reasons.
    """
    values = strict_json.parse(line)
    try:
        return UserRecord.model_validate(values)
    except ValidationError as error:
        problems = error.errors(include_url=False, include_input=False, include_context=False)
        raise ValueError("; ".join(dict.fromkeys(_message(problem) for problem in problems[:5]))) from None
