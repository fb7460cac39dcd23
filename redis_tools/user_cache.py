"""The user cache: users and their active sessions in Valkey, so that most requests need one exchange and no SQL.

PostgreSQL holds the truth. The value of a user's key is one of:

    nothing           no request has read the user lately
    lease:<id>        one request is reading PostgreSQL, to store an entry
    an entry          JSON: the user, the ids of the active sessions, the edition of the roles at that time
    changing:<ids>    a tombstone: transactions are changing the user

    nothing ----lease----> lease:<id> ----set_if_leased----> entry
       ^                       |                               |
       |                  begin_change                    begin_change
       |                       v                               |
       +------end_change--- changing:<ids> <-------------------+

A change puts its tombstone in place before its commit, and removes it afterwards. Meanwhile every request reads
PostgreSQL and stores nothing. A request that finds no entry takes a lease, reads PostgreSQL, and stores an entry only
if its lease is still in place: a change that began meanwhile has removed the lease, so that nothing read before a
change is stored after it. A request whose session is missing in the entry reads PostgreSQL as well, and replaces only
the entry that it found. Neither the order of events nor the loss of all data in Valkey makes an ended session active
again.

The permissions of a role are part of many entries. An entry is valid only under the edition of the roles that it names.
A change of a role puts a tombstone in place of the edition; later, a request that finds no edition creates a new one,
which no entry names yet.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from dataclasses import dataclass
from secrets import token_hex
from uuid import UUID

from pydantic import BaseModel, ValidationError

from models.errors import ServiceError, Unavailable
from models.responses.account import UserProfile
from redis_tools.command import Command, ignore, load_script
from redis_tools.pipeline import Valkey

log = logging.getLogger(__name__)

_COMPARE_AND_SET = load_script("user_cache_compare_and_set")
_BEGIN_CHANGE = load_script("user_cache_begin_change")
_END_CHANGE = load_script("user_cache_end_change")

_ROLES = "roles"
"""The key of the edition."""

_ENTRY_MS = 60_000
"""Bounds how long an outdated entry lives in the one case that no order of events prevents: a failover of Valkey loses
a tombstone, and the process that made the change dies before it has removed the entry."""

_TOMBSTONE_MS = 10_000
"""Longer than any transaction may take (service.md, section 6)."""

_LEASE_MS = 10_000


@dataclass(frozen=True, slots=True)
class SignedInUser:
    """What PostgreSQL knows of a user who is not blocked."""

    user: UserProfile
    sids: frozenset[UUID]
    """The active sessions."""


class _Entry(BaseModel):
    user: UserProfile
    sids: frozenset[UUID]
    edition: str
    nonce: str
    """Makes the entry unlike any other: an entry that compares equal was in place all the time."""


def cache_key(user_id: UUID) -> str:
    """Return the key of a user's entry."""
    return f"user:{{{user_id}}}"


def new_change_id() -> str:
    """Return an id for one change."""
    return token_hex(8)


def _may_be_leased(found: bytes) -> bool:
    return not found.startswith((b"changing:", b"lease:"))


def _entry(found: bytes) -> _Entry | None:
    """Return the entry, if it is one; another version of the service may write its entries in another form."""
    try:
        return _Entry.model_validate_json(found) if found and _may_be_leased(found) else None
    except ValidationError:
        return None


def _get(key: str) -> Command[bytes]:
    return Command(("GET", key), lambda answer: answer or b"")


@dataclass(frozen=True, slots=True)
class UserCache:
    """Finds the user of an active session, and makes every change visible at once."""

    valkey: Valkey
    read: Callable[[UUID], Awaitable[SignedInUser | None]]
    """Reads PostgreSQL."""

    async def find(self, user_id: UUID, sid: UUID) -> UserProfile | None:
        """Return the user as of now, if the session is active and the account not blocked.

        Raises:
            Unavailable: Valkey is away, or PostgreSQL when it is needed.
        """
        key = cache_key(user_id)
        found, edition = await self.valkey.pipeline(_get(key), _get(_ROLES))
        entry = _entry(found)
        if entry is not None and entry.edition == edition.decode() and sid in entry.sids:
            return entry.user
        if not edition:
            edition = await self.valkey.execute(_create_edition())
        # An entry without the session stays in place: the entry or the token is outdated, and PostgreSQL knows which.
        replaceable = found if entry is not None else await self._lease(key, found)
        current = await self.read(user_id)
        if current is None:
            return None
        is_active = sid in current.sids
        is_outdated = entry is None or entry.edition != edition.decode()
        if replaceable and (is_active or is_outdated) and edition and _may_be_leased(edition):
            new = _Entry(user=current.user, sids=current.sids, edition=edition.decode(), nonce=token_hex(8))
            with suppress(Unavailable):
                await self.valkey.execute(_set_if_leased(key, replaceable, new))
        return current.user if is_active else None

    async def _lease(self, key: str, found: bytes) -> bytes:
        """Return a lease of the key, if it is empty or unreadable; nothing if another request or a change has it."""
        if not _may_be_leased(found):
            return b""
        lease = f"lease:{token_hex(8)}".encode()
        is_leased = await self.valkey.execute(_COMPARE_AND_SET.command([key], [found, lease, _LEASE_MS], bool))
        return lease if is_leased else b""

    def invalidating(self, user_id: UUID) -> AbstractAsyncContextManager[None]:
        """Wrap a transaction that changes a user or ends a session: when the block ends, every request sees the change.

        Raises:
            Unavailable: Valkey is away, and nothing was changed.
        """
        return self._invalidating(cache_key(user_id))

    def invalidating_roles(self) -> AbstractAsyncContextManager[None]:
        """Wrap a transaction that changes the permissions of a role; otherwise as `invalidating`."""
        return self._invalidating(_ROLES)

    @asynccontextmanager
    async def _invalidating(self, key: str) -> AsyncIterator[None]:
        change = new_change_id()
        await self.valkey.execute(_begin_change(key, change))
        # After a failure the tombstone stays: the commit may have succeeded or not, or may still succeed.
        try:
            yield
        except Unavailable:
            raise
        except ServiceError:
            # A refusal has changed nothing: repeated refusals must not keep the user out of the cache.
            await self._try_end_change(key, change)
            raise
        await self._try_end_change(key, change)

    async def _try_end_change(self, key: str, change: str) -> None:
        try:
            await self.valkey.execute(_end_change(key, change))
        except Unavailable:
            # The change is committed. The tombstone expires, and until then PostgreSQL is read.
            log.warning("the tombstone of a change at %s could not be removed", key)

    async def begin_change(self, user_id: UUID, change: str) -> None:
        """Begin what `invalidating` does, for a transaction that turns out to change something."""
        await self.valkey.execute(_begin_change(cache_key(user_id), change))

    def end_change(self, user_id: UUID, change: str) -> Command[None]:
        """End what `begin_change` has begun; the command may be sent together with others."""
        return _end_change(cache_key(user_id), change)


def _create_edition() -> Command[bytes]:
    """Create an edition if there is none; the answer is the edition, or the tombstone, that is in place then."""
    edition = token_hex(8)
    return Command(("SET", _ROLES, edition, "NX", "GET"), lambda answer: answer or edition.encode())


def _set_if_leased(key: str, replaceable: bytes, entry: _Entry) -> Command[bool]:
    """Store an entry in place of the lease, or of the outdated entry, that this request has found."""
    return _COMPARE_AND_SET.command([key], [replaceable, entry.model_dump_json().encode(), _ENTRY_MS], bool)


def _begin_change(key: str, change: str) -> Command[None]:
    return _BEGIN_CHANGE.command([key], [change, _TOMBSTONE_MS], ignore)


def _end_change(key: str, change: str) -> Command[None]:
    return _END_CHANGE.command([key], [change], ignore)
