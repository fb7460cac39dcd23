"""Authenticates requests: the access token has to be valid, and its session active."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from jwt_tools.decode import Principal, TokenVerifier
from jwt_tools.errors import InvalidToken
from models.responses.account import UserProfile
from redis_tools.user_cache import UserCache


@dataclass(frozen=True, slots=True)
class AuthenticatedUser(Principal):
    """The user of an active session; roles and permissions are the current ones, not those in the token."""

    user: UserProfile

    @property
    def user_id(self) -> UUID:
        """Return the account's id."""
        return self.user.id

    @property
    def session_id(self) -> UUID:
        """Return the session's id."""
        return UUID(self.sid)


@dataclass(frozen=True, slots=True)
class Authenticator:
    """Authenticates access tokens of this service; a log-out, a block and a change of roles take effect at once."""

    verifier: TokenVerifier
    user_cache: UserCache

    async def verify(self, token: str) -> AuthenticatedUser:
        """Return the user of an access token; named like `TokenVerifier.verify`, whose place it takes in our guards.

        Raises:
            InvalidToken: the token is invalid, its session has ended, or its account is deleted or blocked.
            Unavailable: Valkey is unavailable, or PostgreSQL when the user is not cached.
        """
        principal = await self.verifier.verify(token)
        try:
            user_id, sid = UUID(principal.subject), UUID(principal.sid)
        except ValueError as error:
            raise InvalidToken("ids") from error
        user = await self.user_cache.find(user_id, sid)
        if user is None:
            raise InvalidToken("session")
        return AuthenticatedUser(
            subject=principal.subject,
            sid=principal.sid,
            login=user.login,
            roles=frozenset(user.roles),
            permissions=frozenset(user.permissions),
            claims=principal.claims,
            user=user,
        )
