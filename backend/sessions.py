"""Sessions: opened by a log-in, carried on by refresh tokens, ended by their owner, by age, or by a theft."""

from __future__ import annotations

import logging
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from uuid_utils.compat import uuid7

from backend.limits import Limits
from backend.live_users import LiveUsers
from backend.notices import Notice, notify
from backend.refresh_token import RefreshToken, RefreshTokens
from backend.tokens import TokenService
from database.engine import Database, Db
from database.sessions import NewSession, Rotation, Session, SessionLife
from database.users import Member
from models.answers import OwnSession, Tokens
from models.caller import Caller
from models.errors import InvalidAccessToken, InvalidGrant, NoSuchSession

log = logging.getLogger(__name__)

_LOG_IN_AGAIN = "Log in again."
_NOTHING_LEFT = "The refresh token belongs to no session that lives: there is nothing left to end."


@dataclass(frozen=True, slots=True)
class SessionRules:
    """The numbers of a session."""

    life: SessionLife
    most: int
    """Sessions that a user may have; the oldest makes room for the next."""
    repeat: timedelta
    """How long a used refresh token is answered with the successor that it was answered with before."""


@dataclass(frozen=True, slots=True)
class SessionService:
    """Opens, carries on, lists and ends sessions."""

    database: Database
    limits: Limits
    users: LiveUsers
    refresh_tokens: RefreshTokens
    tokens: TokenService
    rules: SessionRules

    async def open(self, db: Db, member: Member, caller: Caller) -> tuple[Session, RefreshToken]:
        """A new session, in the transaction of the log-in; it has locked the user's row."""
        refresh = self.refresh_tokens.first(uuid7())
        new = NewSession(refresh.session_id, member.user.id, refresh.digest, caller.user_agent)
        return await db.sessions.open(new, self.rules.life, most=self.rules.most), refresh

    async def refresh(self, token: str, caller: Caller) -> Tokens:
        """Trade a refresh token for its successor and a new access token, with the roles of this moment.

        Raises:
            InvalidGrant: it is not ours, its session has ended, or it was used before; the latter ends the session.
            TooMany: too many refreshes from this address.
            Unavailable: a server is away; a repeat within ten seconds gives the same successor.
        """
        await self.limits.refresh(caller)
        presented = self.refresh_tokens.read(token)
        if presented is None:
            raise InvalidGrant(_LOG_IN_AGAIN)
        key = self.tokens.signing_key
        async with self.database.statement() as db:
            session, refresh = await self._rotate(db, presented)
            member = await db.users.member(session.user_id)
        if refresh is None:
            await self._end_stolen(session)
            raise InvalidGrant(_LOG_IN_AGAIN)
        if member is None or member.user.blocked:
            raise InvalidGrant(_LOG_IN_AGAIN)
        return self.tokens.issue(key, member, session, refresh)

    async def _rotate(self, db: Db, presented: RefreshToken) -> tuple[Session, RefreshToken | None]:
        """The session and the token's successor; none for a token that was used up before."""
        successor = next(self.refresh_tokens.successors(presented))
        session = await db.sessions.rotate(presented.session_id, presented.digest, successor.digest, self.rules.life)
        if session is not None:
            return session, successor
        rotation = await db.sessions.find(presented.session_id)
        if rotation is None:
            raise InvalidGrant(_LOG_IN_AGAIN)
        return rotation.session, self._given_before(presented, rotation)

    def _given_before(self, presented: RefreshToken, rotation: Rotation) -> RefreshToken | None:
        """The successor that was given for a token a moment ago: its answer was lost, or two tabs asked at once."""
        if rotation.previous != presented.digest or rotation.rotated_for >= self.rules.repeat:
            return None
        candidates = self.refresh_tokens.successors(presented)
        return next((token for token in candidates if token.digest == rotation.token), None)

    async def _end_stolen(self, session: Session) -> None:
        """Two have held one token: the owner and a thief, whoever came second (RFC 9700 section 4.14.2)."""
        async with self.users.changing(session.user_id), self.database.transaction() as db:
            if await db.sessions.end(session.id, session.user_id):
                await notify(db, Notice.SESSION_ENDED, session.user_id)
                log.warning("a refresh token was used again: session %s was ended", session.id)

    async def of(self, user_id: UUID, current: UUID) -> list[OwnSession]:
        """The user's living sessions, newest first.

        Raises:
            Unavailable: PostgreSQL is away.
        """
        async with self.database.statement() as db:
            found = await db.sessions.of_user(user_id)
        return [
            OwnSession(
                id=session.id,
                user_agent=session.user_agent,
                created_at=session.created_at,
                last_used_at=session.rotated_at,
                expires_at=session.ends_at,
                current=session.id == current,
            )
            for session in found
        ]

    async def end(self, user_id: UUID, session_id: UUID) -> None:
        """End one session; from now on its tokens are refused.

        Raises:
            NoSuchSession: the user has no such session.
            Unavailable: a server is away.
        """
        async with self.users.changing(user_id), self.database.statement() as db:
            ended = await db.sessions.end(session_id, user_id)
        if not ended:
            raise NoSuchSession("GET /me/sessions lists those that there are.")

    async def log_out(self, user_id: UUID, session_id: UUID) -> None:
        """End the session that asks; one that was ended a moment ago has ended as well.

        Raises:
            Unavailable: a server is away.
        """
        with suppress(NoSuchSession):
            await self.end(user_id, session_id)

    async def end_others(self, user_id: UUID, current: UUID) -> None:
        """End every session of a user but one.

        Raises:
            Unavailable: a server is away.
        """
        async with self.users.changing(user_id), self.database.statement() as db:
            await db.sessions.end_all(user_id, but=current)

    async def end_by_token(self, token: str) -> None:
        """End the session of a refresh token, a used one included.

        Raises:
            InvalidAccessToken: no session of ours that lives.
            Unavailable: a server is away.
        """
        presented = self.refresh_tokens.read(token)
        if presented is None:
            raise InvalidAccessToken(_NOTHING_LEFT)
        async with self.database.statement() as db:
            rotation = await db.sessions.find(presented.session_id)
        if rotation is None:
            raise InvalidAccessToken(_NOTHING_LEFT)
        try:
            await self.end(rotation.session.user_id, presented.session_id)
        except NoSuchSession as error:
            raise InvalidAccessToken(_NOTHING_LEFT) from error
