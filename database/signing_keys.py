"""The signing keys of access tokens, encrypted."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import func, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from database.tables import signing_keys

_FIRST_KEY_LOCK = 7_365_627_169
"""An advisory lock of ours; any number will do, as long as nobody else in this database uses it."""


@dataclass(frozen=True, slots=True)
class StoredKey:
    """A signing key as it rests: its private half is encrypted."""

    kid: str
    algorithm: str
    private_key: bytes
    created_at: datetime


class SigningKeyRepo:
    """Reads and adds signing keys."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def lock(self) -> None:
        """Hold every other process back until this transaction ends, so that one alone makes the first key."""
        await self._connection.execute(select(func.pg_advisory_xact_lock(_FIRST_KEY_LOCK)))

    async def all(self) -> list[StoredKey]:
        """Every key, newest first."""
        rows = await self._connection.execute(select(signing_keys).order_by(signing_keys.c.created_at.desc()))
        return [StoredKey(row.kid, row.algorithm, row.private_key, row.created_at) for row in rows]

    async def add(self, kid: str, algorithm: str, private_key: bytes) -> None:
        """Keep a key; its private half comes encrypted."""
        await self._connection.execute(
            insert(signing_keys).values(kid=kid, algorithm=algorithm, private_key=private_key)
        )
