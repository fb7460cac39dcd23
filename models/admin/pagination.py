"""Pages of long lists: each page starts after the last entry of the one before."""

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

CURSOR_DESCRIPTION = "The `next` of the previous page."
_EXPECTED = "must be the next of the previous page"


class Page(Answer, Generic[_Item]):
    """One page of a list. Entries added or removed between two pages neither repeat nor hide other entries."""

    items: list[_Item]
    next: str | None = Field(
        description="Send it as `cursor` to read the next page; null on the last page.",
        examples=["AZqqPhxTen2aLl1PDBsqOQ"],
    )


class PageQuery(BaseModel):
    """Query parameters of every list."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True, frozen=True)

    limit: int = Field(50, ge=1, le=200, description="Maximum number of entries on a page.")


def _decode(cursor: object, pattern: str) -> bytes:
    """Return the bytes of a cursor; of several base64 spellings only the canonical one is accepted."""
    if not isinstance(cursor, str) or re.fullmatch(pattern, cursor, re.ASCII) is None:
        raise ValueError(_EXPECTED)
    return base64.urlsafe_b64decode(cursor + "==")


_UUID_PATTERN = "[A-Za-z0-9_-]{21}[AQgw]"
_NUMBER_PATTERN = "[A-Za-f][A-Za-z0-9_-]{9}[AEIMQUYcgkosw048]"
"""Of 8 bytes, the first bit zero: ids of PostgreSQL are below 2^63."""


def _schema(pattern: str) -> WithJsonSchema:
    return WithJsonSchema({"type": "string", "pattern": f"^{pattern}$"})


UuidCursor = Annotated[
    UUID, BeforeValidator(lambda cursor: UUID(bytes=_decode(cursor, _UUID_PATTERN))), _schema(_UUID_PATTERN)
]
"""The cursor of a list that is sorted by UUID."""

NumberCursor = Annotated[
    int, BeforeValidator(lambda cursor: int.from_bytes(_decode(cursor, _NUMBER_PATTERN))), _schema(_NUMBER_PATTERN)
]
"""The cursor of a list that is sorted by number."""


def cursor(key: UUID | int) -> str:
    """Return the text, opaque to clients, for the page that starts after this key."""
    packed = key.bytes if isinstance(key, UUID) else key.to_bytes(8)
    return base64.urlsafe_b64encode(packed).decode().rstrip("=")


def paginate(rows: Sequence[_Row], limit: int, key: Callable[[_Row], UUID | int]) -> tuple[list[_Row], str | None]:
    """Return the rows of a page, and the cursor of the next page if more rows than ``limit`` were found."""
    page = list(rows[:limit])
    return page, cursor(key(page[-1])) if len(rows) > limit else None
