"""The signing keys of access tokens; their private halves are encrypted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import Interval, bindparam, delete, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from database.tables import signing_keys

_ROTATION_LOCK = 7_365_627_169
"""An advisory lock of ours; any number will do, as long as nobody else in this database uses it."""


@dataclass(frozen=True, slots=True)
class StoredKey:
    """A signing key as it rests."""

    kid: str
    algorithm: str
    public_jwk: Mapping[str, str]
    private_key: bytes
    signs_for: timedelta
    """How long it has been allowed to sign; negative before that."""


@dataclass(frozen=True, slots=True)
class NewKey:
    """A signing key to be kept."""

    kid: str
    algorithm: str
    public_jwk: Mapping[str, str]
    private_key: bytes


_ALL = select(
    signing_keys.c.kid,
    signing_keys.c.algorithm,
    signing_keys.c.public_jwk,
    signing_keys.c.private_key,
    (func.now() - signing_keys.c.signs_from).label("signs_for"),
).order_by(signing_keys.c.signs_from.desc())
_ADD = insert(signing_keys).values(
    kid=bindparam("kid"),
    algorithm=bindparam("algorithm"),
    public_jwk=bindparam("public_jwk"),
    private_key=bindparam("private_key"),
    signs_from=func.now() + bindparam("lead", type_=Interval),
)
_SEAL = (
    update(signing_keys)
    .where(signing_keys.c.kid == bindparam("key"), signing_keys.c.private_key == bindparam("old"))
    .values(private_key=bindparam("new"))
)


class SigningKeyRepo:
    """Reads, adds and drops signing keys. Every moment is PostgreSQL's, so that all processes switch together."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def lock(self) -> None:
        """Hold every other process back until this transaction ends, so that one alone makes the next key."""
        await self._connection.execute(select(func.pg_advisory_xact_lock(_ROTATION_LOCK)))

    async def list(self) -> Sequence[StoredKey]:
        """Every key, the one that signs last first."""
        return [StoredKey(*row) for row in await self._connection.execute(_ALL)]

    async def create(self, new: NewKey, lead: timedelta) -> None:
        """Keep a key that will sign after a while; until then it is published only."""
        values = {
            "kid": new.kid,
            "algorithm": new.algorithm,
            "public_jwk": dict(new.public_jwk),
            "private_key": new.private_key,
            "lead": lead,
        }
        await self._connection.execute(_ADD, values)

    async def reencrypt(self, kid: str, old: bytes, new: bytes) -> None:
        """Replace how a private half is encrypted; nothing happens when somebody else was quicker."""
        await self._connection.execute(_SEAL, {"key": kid, "old": old, "new": new})

    async def delete(self, kids: Sequence[str]) -> None:
        """Forget keys that nobody needs any more."""
        await self._connection.execute(delete(signing_keys).where(signing_keys.c.kid.in_(kids)))
