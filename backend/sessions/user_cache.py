"""Who is signed in, as it is at this moment: PostgreSQL holds the truth, Valkey a copy that no change outlives."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from secrets import token_hex
from uuid import UUID

from pydantic import BaseModel, ValidationError

from backend.sessions.profile import profile
from database.engine import Database
from models.errors import ServiceError, Unavailable
from models.responses.account import UserProfile
from redis_tools import session_cache
from redis_tools.pipeline import Command, Valkey
from redis_tools.session_cache import new_change

log = logging.getLogger(__name__)


class _Entry(BaseModel):
    """A user and the sessions that live."""

    user: UserProfile
    sids: frozenset[UUID]
    edition: str
    """Of the roles, when it was read."""
    nonce: str
    """Makes it unlike any other entry, see `session_cache.fill`."""


def _entry(found: bytes) -> _Entry | None:
    """What stands in the user's place, if it can be read: another version of the service may write it otherwise."""
    try:
        return _Entry.model_validate_json(found) if session_cache.is_entry(found) else None
    except ValidationError:
        return None


@dataclass(frozen=True, slots=True)
class UserCache:
    """Finds the user of a living session, and has every change seen at once."""

    database: Database
    valkey: Valkey

    async def find(self, user_id: UUID, sid: UUID) -> UserProfile | None:
        """The user as of now, if the session lives and the account is not blocked: one look at Valkey on a hit.

        Raises:
            Unavailable: Valkey is away, or PostgreSQL when it has to be asked.
        """
        name = session_cache.user_place(str(user_id))
        found, edition = await self.valkey.pipeline(session_cache.look(name), session_cache.look(session_cache.ROLES))
        entry = _entry(found)
        if entry is not None and entry.edition == edition.decode() and sid in entry.sids:
            return entry.user
        if not edition:
            edition = await self.valkey.execute(session_cache.begin_edition(token_hex(8)))
        # An entry that does not know the session stays where it is: either is out of date, and PostgreSQL knows which.
        held = found if entry is not None else await self._leased(name, found)
        current = await self._read(user_id, edition.decode())
        if current is None:
            return None
        lives = sid in current.sids
        outdated = entry is None or entry.edition != current.edition
        if held and (lives or outdated) and session_cache.is_entry(edition):
            with suppress(Unavailable):
                await self.valkey.execute(session_cache.fill(name, held, current.model_dump_json().encode()))
        return current.user if lives else None

    async def _leased(self, name: str, found: bytes) -> bytes:
        """A lease of the place, if it is empty or holds what nobody can read; nothing if somebody else is at it."""
        if not session_cache.may_be_leased(found):
            return b""
        lease = session_cache.new_lease()
        return lease if await self.valkey.execute(session_cache.take_lease(name, found, lease)) else b""

    async def _read(self, user_id: UUID, edition: str) -> _Entry | None:
        async with self.database.statement() as db:
            found = await db.users.find_with_sessions(user_id)
        if found is None or found.member.user.blocked:
            return None
        return _Entry(user=profile(found.member), sids=frozenset(found.sids), edition=edition, nonce=token_hex(8))

    @asynccontextmanager
    async def changing(self, user_id: UUID) -> AsyncIterator[None]:
        """Around a transaction that changes a user or ends a session: once the block is left, everybody sees it.

        Raises:
            Unavailable: Valkey is away, and nothing was changed.
        """
        async with self._changing(session_cache.user_place(str(user_id))):
            yield

    @asynccontextmanager
    async def changing_roles(self) -> AsyncIterator[None]:
        """Around a transaction that changes what a role allows: once the block is left, everybody sees it.

        Raises:
            Unavailable: Valkey is away, and nothing was changed.
        """
        async with self._changing(session_cache.ROLES):
            yield

    @asynccontextmanager
    async def _changing(self, place: str) -> AsyncIterator[None]:
        change = new_change()
        await self.valkey.execute(session_cache.announce_change(place, change))
        # After a failure the announcement stays: whether the commit stood is then unknown, and may be for a while.
        try:
            yield
        except Unavailable:
            raise
        except ServiceError:
            # A refusal: certainly nothing was changed, and whoever is refused again and again must not cost the user
            # his place.
            await self._call_done(place, change)
            raise
        await self._call_done(place, change)

    async def _call_done(self, place: str, change: str) -> None:
        try:
            await self.valkey.execute(session_cache.forget(place, change))
        except Unavailable:
            # What was done stands. The announcement ends by itself, and until then PostgreSQL is read.
            log.warning("a change at %s could not be called done", place)

    async def announce(self, user_id: UUID, change: str) -> None:
        """What `changing` begins with, for whoever finds out inside a transaction that it changes something.

        Raises:
            Unavailable: Valkey is away.
        """
        await self.valkey.execute(session_cache.announce_change(session_cache.user_place(str(user_id)), change))

    def forget(self, user_id: UUID, change: str) -> Command[None]:
        """What `changing` ends with; it may travel with other calls."""
        return session_cache.forget(session_cache.user_place(str(user_id)), change)
