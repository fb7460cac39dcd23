"""Pages: a long list is read piece by piece, each from where the one before has ended."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Sequence
from typing import Annotated, Generic, TypeVar
from uuid import UUID

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema

from models.responses.common import Answer

_Item = TypeVar("_Item")
_Row = TypeVar("_Row")

_MEANT = "must be the text that the page before gave as next"


class Page(Answer, Generic[_Item]):
    """A piece of a list. What is added or taken away while it is read moves no other entry to another page."""

    items: list[_Item]
    next: str | None = Field(
        description="Send it as `cursor` for the next page; null on the last one.", examples=["AZqqPhxTen2aLl1PDBsqOQ"]
    )


class PageQuery(BaseModel):
    """What every list understands."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True, frozen=True)

    limit: int = Field(50, ge=1, le=200, description="How many entries a page has.")


def _sealed(key: bytes) -> str:
    return base64.urlsafe_b64encode(key).decode().rstrip("=")


def _opened(cursor: object, pattern: str) -> bytes:
    """The bytes of a cursor; of several texts that a reader would take for the same one, only ours is taken."""
    if not isinstance(cursor, str) or re.fullmatch(pattern, cursor, re.ASCII) is None:
        raise ValueError(_MEANT)
    return base64.urlsafe_b64decode(cursor + "==")


_UUID_PATTERN = "[A-Za-z0-9_-]{21}[AQgw]"
_NUMBER_PATTERN = "[A-Za-f][A-Za-z0-9_-]{9}[AEIMQUYcgkosw048]"
"""Of 8 bytes; PostgreSQL counts to 2^63 alone, so that the first bit is nought."""


def _schema(pattern: str) -> WithJsonSchema:
    return WithJsonSchema({"type": "string", "pattern": f"^{pattern}$"})


UuidCursor = Annotated[
    UUID, BeforeValidator(lambda cursor: UUID(bytes=_opened(cursor, _UUID_PATTERN))), _schema(_UUID_PATTERN)
]
"""Where a page of a list that is ordered by UUIDs begins."""

NumberCursor = Annotated[
    int, BeforeValidator(lambda cursor: int.from_bytes(_opened(cursor, _NUMBER_PATTERN))), _schema(_NUMBER_PATTERN)
]
"""Where a page of a list that is ordered by numbers begins."""


def cursor(key: UUID | int) -> str:
    """A text that means nothing to whoever is given it, and the place of the next page to us."""
    return _sealed(key.bytes if isinstance(key, UUID) else key.to_bytes(8))


def paginate(rows: Sequence[_Row], limit: int, key: Callable[[_Row], UUID | int]) -> tuple[Sequence[_Row], str | None]:
    """The rows of a page, and the cursor of the next one, if one more than fits was found."""
    page = rows[:limit]
    return page, cursor(key(page[-1])) if len(rows) > limit else None
