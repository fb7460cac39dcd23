"""The signing keys of access tokens; their private keys are encrypted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import timedelta

from sqlalchemy import bindparam, delete, func, insert, select, update

from database.repository import Repository, interval
from database.tables import signing_keys

_ROTATION_LOCK = 7_365_627_169
"""An advisory lock; any number will do that no other program uses in this database."""


@dataclass(frozen=True, slots=True)
class NewKey:
    """A signing key to be stored."""

    kid: str
    algorithm: str
    public_jwk: Mapping[str, str]
    private_key: bytes


@dataclass(frozen=True, slots=True)
class StoredKey(NewKey):
    """A signing key as it is stored."""

    signs_for: timedelta
    """How long the key has been allowed to sign; negative before that."""


_LIST = select(
    signing_keys.c.kid,
    signing_keys.c.algorithm,
    signing_keys.c.public_jwk,
    signing_keys.c.private_key,
    (func.now() - signing_keys.c.signs_from).label("signs_for"),
).order_by(signing_keys.c.signs_from.desc())
_CREATE = insert(signing_keys).values(
    kid=bindparam("kid"),
    algorithm=bindparam("algorithm"),
    public_jwk=bindparam("public_jwk"),
    private_key=bindparam("private_key"),
    signs_from=func.now() + interval("activation_delay"),
)
_REENCRYPT = (
    update(signing_keys)
    .where(signing_keys.c.kid == bindparam("key"), signing_keys.c.private_key == bindparam("old"))
    .values(private_key=bindparam("new"))
)


class SigningKeyRepo(Repository):
    """Lists, creates and deletes signing keys. PostgreSQL's clock counts, so that all processes switch together."""

    async def lock(self) -> None:
        """Make other processes wait until this transaction ends, so that only one creates the next key."""
        await self._connection.execute(select(func.pg_advisory_xact_lock(_ROTATION_LOCK)))

    async def list(self) -> Sequence[StoredKey]:
        """Return every key, the one that signs last first."""
        return [StoredKey(*row) for row in await self._connection.execute(_LIST)]

    async def create(self, new: NewKey, activation_delay: timedelta) -> None:
        """Store a key that signs after ``activation_delay``; until then it is only published."""
        await self._connection.execute(_CREATE, {**asdict(new), "activation_delay": activation_delay})

    async def reencrypt(self, kid: str, old: bytes, new: bytes) -> None:
        """Replace the encrypted private key, unless another process has done so already."""
        await self._connection.execute(_REENCRYPT, {"key": kid, "old": old, "new": new})

    async def delete(self, kids: Sequence[str]) -> None:
        """Delete keys."""
        await self._connection.execute(delete(signing_keys).where(signing_keys.c.kid.in_(kids)))
