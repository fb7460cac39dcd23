"""Whoever calls with an access token: the token has to be good, and its session has to live."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from backend.sessions.user_cache import UserCache
from jwt_tools.decode import Principal, TokenVerifier
from jwt_tools.errors import InvalidToken
from models.responses.common import UserProfile


@dataclass(frozen=True, slots=True)
class AuthenticatedUser(Principal):
    """A caller whose session lives; roles and permissions are those of this moment, not those of the token."""

    user: UserProfile

    @property
    def user_id(self) -> UUID:
        """Whose account it is."""
        return self.user.id

    @property
    def session_id(self) -> UUID:
        """Which session it is."""
        return UUID(self.sid)


@dataclass(frozen=True, slots=True)
class Authenticator:
    """Verifies tokens of our own, and sees a log-out, a block and a change of roles at once."""

    tokens: TokenVerifier
    user_cache: UserCache

    async def verify(self, token: str) -> AuthenticatedUser:
        """The caller that a token names.

        Raises:
            InvalidToken: the token is not good, or its session has ended, or its account is gone or blocked.
            Unavailable: Valkey is away, or PostgreSQL when it has to be asked.
        """
        client = await self.tokens.verify(token)
        try:
            user_id, sid = UUID(client.subject), UUID(client.sid)
        except ValueError as error:
            raise InvalidToken("ids") from error
        user = await self.user_cache.find(user_id, sid)
        if user is None:
            raise InvalidToken("session")
        return AuthenticatedUser(
            subject=client.subject,
            sid=client.sid,
            login=user.login,
            roles=frozenset(user.roles),
            permissions=frozenset(user.permissions),
            claims=client.claims,
            user=user,
        )
