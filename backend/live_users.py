"""Who is signed in, as it is at this moment: PostgreSQL holds the truth, Valkey a copy that no change outlives."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from uuid import UUID

from pydantic import BaseModel, ValidationError

from backend.profile import profile
from database.engine import Database
from models.answers import UserProfile
from models.errors import Unavailable
from redis_tools import session_cache
from redis_tools.exchange import Call, Valkey

log = logging.getLogger(__name__)


class _Entry(BaseModel):
    """A user and the sessions that live."""

    user: UserProfile
    sids: frozenset[UUID]


def _entry(found: bytes) -> _Entry | None:
    """What stands in the user's place, if it can be read: another version of the service may write it otherwise."""
    try:
        return _Entry.model_validate_json(found) if session_cache.is_entry(found) else None
    except ValidationError:
        return None


@dataclass(frozen=True, slots=True)
class LiveUsers:
    """Finds the user of a living session, and has every change seen at once."""

    database: Database
    valkey: Valkey

    async def find(self, user_id: UUID, sid: UUID) -> UserProfile | None:
        """The user as of now, if the session lives and the account is not blocked: one look at Valkey on a hit.

        Raises:
            Unavailable: Valkey is away, or PostgreSQL when it has to be asked.
        """
        name = str(user_id)
        found = await self.valkey.ask(session_cache.look(name))
        entry = _entry(found)
        if entry is not None and sid in entry.sids:
            return entry.user
        # It has ended, or was opened after the entry was made: PostgreSQL knows.
        lease = session_cache.new_lease()
        leased = session_cache.may_be_filled(found) and await self.valkey.ask(
            session_cache.take_lease(name, found, lease)
        )
        current = await self._read(user_id)
        if current is None or sid not in current.sids:
            return None
        if leased:
            with suppress(Unavailable):
                await self.valkey.ask(session_cache.fill(name, lease, current.model_dump_json().encode()))
        return current.user

    async def _read(self, user_id: UUID) -> _Entry | None:
        async with self.database.statement() as db:
            found = await db.users.with_sessions(user_id)
        if found is None or found.member.user.blocked:
            return None
        return _Entry(user=profile(found.member), sids=frozenset(found.sids))

    @asynccontextmanager
    async def changing(self, user_id: UUID) -> AsyncIterator[None]:
        """Around a transaction that changes a user or ends a session: once the block is left, everybody sees it.

        Raises:
            Unavailable: Valkey is away, and nothing was changed.
        """
        await self.valkey.ask(session_cache.announce_change(str(user_id)))
        # After a failure the announcement stays: whether the commit stood is then unknown, and may be for a while.
        yield
        try:
            await self.valkey.ask(self.forget(user_id))
        except Unavailable:
            # The change stands. The announcement ends by itself, and until then PostgreSQL is read.
            log.warning("a change of user %s could not be called done", user_id)

    def forget(self, user_id: UUID) -> Call[None]:
        """What `changing` ends with, for a change that travels with other calls."""
        return session_cache.forget(str(user_id))
