"""What each flow is about: one frozen dataclass a flow, stored as JSON with the names of its fields as keys.

Flows that the previous release has opened are read by this one: a field that is added needs a default.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Self
from uuid import UUID

from pydantic import TypeAdapter
from pydantic_core import to_json

from models.values.locale import Locale

_readers: dict[type[FlowData], TypeAdapter[Any]] = {}
"""Each is built when its flow is first read: that takes much longer than to read with it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FlowData:
    """What every flow knows."""

    email: str
    """Where the code goes, or would go."""
    user_id: UUID | None = None
    """The account, once the flow knows it."""
    locale: Locale = Locale.EN
    """Language of the mails, unless the address belongs to an account that has chosen another."""

    def to_json(self) -> bytes:
        """Write the data as it is stored."""
        return to_json(self)

    @classmethod
    def from_json(cls, stored: bytes) -> Self:
        """Read what `to_json` has written.

        Raises:
            pydantic.ValidationError: a field is missing or malformed.
        """
        if cls not in _readers:
            _readers[cls] = TypeAdapter(cls)
        data: Self = _readers[cls].validate_json(stored)
        return data


@dataclass(frozen=True, slots=True, kw_only=True)
class RegisterData(FlowData):
    """An account that does not exist yet."""

    login: str
    password_hash: str = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountData(FlowData):
    """An account as it was when the flow began; a change of its password or address ends the flow."""

    user_id: UUID
    version: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LoginData(AccountData):
    """The account whose password was right. Address and language save the mail worker a look at the account."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RecoverData(FlowData):
    """An address, and from the second step on the account that it belongs to."""

    version: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class EmailChangeData(AccountData):
    """The account that is to have another address; ``email`` is the new one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeletionData(AccountData):
    """The account that is to be deleted."""
