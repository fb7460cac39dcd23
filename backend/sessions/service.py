"""Sessions: created by a log-in, continued by refresh tokens, ended by their owner, by age or after a theft."""

from __future__ import annotations

import logging
from contextlib import suppress
from dataclasses import dataclass
from uuid import UUID

from uuid_utils.compat import uuid7

from backend.audit import audit
from backend.mail.notices import Notice, notify
from backend.protection.rate_limits import RateLimits
from backend.tokens.access_tokens import TokenService
from backend.tokens.refresh_tokens import RefreshToken, RefreshTokens
from database.engine import Database
from database.repositories import Db
from database.sessions import NewSession, Rotation, Session, SessionLife
from database.users import UserWithAccess
from models.context.audit import Actor, Event, anonymous_actor
from models.context.client import ClientInfo
from models.errors import InvalidAccessToken, InvalidGrant, SessionNotFound, Unavailable
from models.responses.account import OwnSession, UserSession
from models.responses.tokens import Tokens
from redis_tools.user_cache import UserCache

log = logging.getLogger(__name__)

_NO_SESSION = "The refresh token belongs to no active session: there is nothing to end."


@dataclass(frozen=True, slots=True)
class SessionService:
    """Creates, refreshes, lists and ends sessions.

    Each method raises `Unavailable` while a server that it needs cannot be reached.
    """

    database: Database
    limits: RateLimits
    user_cache: UserCache
    refresh_tokens: RefreshTokens
    tokens: TokenService
    life: SessionLife
    max_sessions: int
    """Sessions of one user; the oldest one ends when one more begins."""

    async def create(
        self, db: Db, account: UserWithAccess, client: ClientInfo, change: str
    ) -> tuple[Session, RefreshToken]:
        """Create a session in the transaction of the log-in, which has locked the user's row.

        If the oldest sessions have to end for it, that change is announced to the user cache before it is committed,
        under the id ``change``.
        """
        refresh = self.refresh_tokens.create(uuid7())
        new = NewSession(refresh.session_id, account.user.id, refresh.digest, client.user_agent)
        session, evicted = await db.sessions.create(new, self.life, limit=self.max_sessions)
        details = {"session": str(session.id)} | ({"ended_oldest": evicted} if evicted else {})
        await audit(db, Event.LOGIN_SUCCEEDED, anonymous_actor(client, account.user.id), account.user.id, **details)
        if evicted:
            await self.user_cache.begin_change(account.user.id, change)
        return session, refresh

    async def refresh(self, token: str, client: ClientInfo) -> Tokens:
        """Exchange a refresh token for its successor and a new access token with the user's current roles.

        Raises:
            InvalidGrant: the token is not ours, its session has ended, or it was used before, which ends the session.
            TooManyRequests: too many refreshes from this address.
            Unavailable: a server is unavailable; a repeat within ten seconds gives the same successor.
        """
        await self.limits.charge_refresh(client)
        presented = self.refresh_tokens.parse(token)
        if presented is None:
            raise InvalidGrant
        key = self.tokens.keys.signing_key
        async with self.database.statement() as db:
            rotation = await db.sessions.find(presented.session_id, presented.digest)
            account = await db.users.find_with_access(rotation.session.user_id) if rotation else None
            # Everything that may fail comes before the rotation: after it, the answer needs no other server.
            if rotation is None or account is None or account.user.blocked:
                raise InvalidGrant
            successor = next(self.refresh_tokens.successors(presented))
            session = await db.sessions.rotate(presented.session_id, presented.digest, successor.digest, self.life)
            if session is None:
                # The token was replaced before, perhaps since the first read.
                rotation = await db.sessions.find(presented.session_id, presented.digest)
        if session is not None:
            return self.tokens.issue(key, account, session, successor)
        if rotation is None or rotation.token == presented.digest:
            raise InvalidGrant
        if rotation.replaced_for is None or rotation.replaced_for >= self.life.reuse_interval:
            await self._end_stolen(rotation.session, anonymous_actor(client))
            raise InvalidGrant
        return self.tokens.issue(key, account, rotation.session, self._successor(presented, rotation))

    def _successor(self, presented: RefreshToken, rotation: Rotation) -> RefreshToken:
        """Return the session's current token for a token that was replaced a moment ago.

        Its answer was lost, or several tabs refreshed at once and one of them has refreshed again since. Each token
        determines its successor, so that the chain from the presented token to the current one can be followed.
        """
        token, known = presented, {rotation.token, *rotation.replaced}
        for _ in range(len(known)):
            found = next(
                (successor for successor in self.refresh_tokens.successors(token) if successor.digest in known), None
            )
            if found is None:
                # Another process has derived it from a secret that this process does not have yet: that is no theft.
                raise Unavailable("This process does not know the newest of SECRET_KEYS yet.")
            if found.digest == rotation.token:
                return found
            token = found
        raise InvalidGrant

    async def _end_stolen(self, session: Session, actor: Actor) -> None:
        """End a session whose token was used twice: its owner and a thief both have it (RFC 9700 section 4.14.2)."""
        async with self.user_cache.invalidating(session.user_id), self.database.transaction() as db:
            if await db.sessions.delete(session.id, session.user_id):
                await notify(db, Notice.SESSION_ENDED, session.user_id)
                await audit(db, Event.SESSION_STOLEN, actor, session.user_id, session=str(session.id))
                log.warning("a refresh token was used again: session %s was ended", session.id)

    async def list_own(self, user_id: UUID, current: UUID) -> list[OwnSession]:
        """Return the user's active sessions, newest first."""
        async with self.database.statement() as db:
            found = await db.sessions.list_of_user(user_id)
        return [to_own_session(session, current) for session in found]

    async def end(self, actor: Actor, user_id: UUID, session_id: UUID) -> None:
        """End one session; from now on its tokens are refused.

        Raises:
            SessionNotFound: the user has no such session.
        """
        async with self.user_cache.invalidating(user_id), self.database.transaction() as db:
            ended = await db.sessions.delete(session_id, user_id)
            if ended:
                await audit(db, Event.SESSION_ENDED, actor, user_id, session=str(session_id))
        if not ended:
            raise SessionNotFound

    async def log_out(self, actor: Actor, user_id: UUID, session_id: UUID) -> None:
        """End the session of the request; if it has ended meanwhile, that is a success too."""
        with suppress(SessionNotFound):
            await self.end(actor, user_id, session_id)

    async def end_others(self, actor: Actor, user_id: UUID, current: UUID) -> None:
        """End every session of a user except the current one."""
        async with self.user_cache.invalidating(user_id), self.database.transaction() as db:
            await db.sessions.delete_all(user_id, except_session=current)
            await audit(db, Event.SESSIONS_ENDED, actor, user_id)

    async def end_by_token(self, token: str, client: ClientInfo) -> None:
        """End the session of a refresh token, even if the token was used before.

        Raises:
            InvalidAccessToken: the token belongs to no active session.
        """
        presented = self.refresh_tokens.parse(token)
        if presented is None:
            raise InvalidAccessToken(_NO_SESSION)
        async with self.database.statement() as db:
            rotation = await db.sessions.find(presented.session_id, presented.digest)
        if rotation is None:
            raise InvalidAccessToken(_NO_SESSION)
        try:
            user_id = rotation.session.user_id
            await self.end(anonymous_actor(client, user_id), user_id, presented.session_id)
        except SessionNotFound as error:
            raise InvalidAccessToken(_NO_SESSION) from error


def to_user_session(session: Session) -> UserSession:
    """Return a session as administrators see it."""
    return UserSession(
        id=session.id,
        user_agent=session.user_agent,
        created_at=session.created_at,
        last_used_at=session.rotated_at,
        expires_at=session.ends_at,
    )


def to_own_session(session: Session, current: UUID) -> OwnSession:
    """Return a session as its owner sees it, whose request came with the ``current`` one."""
    return OwnSession(**to_user_session(session).model_dump(), current=session.id == current)
