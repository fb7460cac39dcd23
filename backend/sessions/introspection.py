"""For other services: whether a token is valid now (RFC 7662), and the end of its session (RFC 7009)."""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from hashlib import sha256
from hmac import compare_digest
from uuid import UUID

from backend.sessions.authentication import Authenticator
from backend.sessions.service import SessionService
from jwt_tools.errors import InvalidToken
from models.context.audit import anonymous_actor
from models.context.client import ClientInfo
from models.errors import InvalidAccessToken, InvalidClient, SessionNotFound
from models.responses.tokens import Introspection

_NO_SECRET = "0" * 64
"""A digest that no secret has: refusing an unknown name takes as long as refusing a wrong secret."""

_DOTS = 2
"""In a signed token, which has three parts (RFC 7515 section 7.1)."""


@dataclass(frozen=True, slots=True)
class ServiceClients:
    """The services that may introspect: their names, and the SHA-256 of their secrets in hexadecimal.

    A secret has 256 random bits, so that no attacker finds it by trying, and no slower hash is needed.
    """

    secrets: Mapping[str, str]

    def authenticate(self, name: str, secret: str) -> None:
        """Check the name and the secret of a service.

        Raises:
            InvalidClient: the name is unknown or the secret is wrong.
        """
        digest = sha256(secret.encode()).hexdigest()
        if not compare_digest(digest, self.secrets.get(name, _NO_SECRET)):
            raise InvalidClient


@dataclass(frozen=True, slots=True)
class IntrospectionService:
    """Answers services that `ServiceClients` has authenticated."""

    authenticator: Authenticator
    sessions: SessionService

    async def introspect(self, token: str) -> Introspection:
        """Return whether an access token is valid now, and for what: one read of Valkey, as for our own routes.

        A refresh token is never active here: a client that sends one to another service has mistaken it for an access
        token.

        Raises:
            Unavailable: Valkey is unavailable, or PostgreSQL when the user is not cached.
        """
        try:
            user = await self.authenticator.verify(token)
        except InvalidToken:
            return Introspection(active=False)
        claims = user.claims
        # The leeway is for clocks of other services; here our own clock has issued the token and judges it.
        if claims["exp"] <= time.time():
            return Introspection(active=False)
        return Introspection(
            active=True,
            scope=" ".join(sorted(user.permissions)),
            username=user.login,
            token_type="Bearer",  # noqa: S106 - the scheme of RFC 6750
            **{name: claims[name] for name in ("client_id", "exp", "iat", "nbf", "sub", "aud", "iss", "jti", "sid")},
            roles=sorted(user.roles),
            permissions=sorted(user.permissions),
        )

    async def revoke(self, token: str, client: ClientInfo) -> None:
        """End the session of an access token or a refresh token; any other text is ignored.

        Raises:
            Unavailable: a server is unavailable.
        """
        with suppress(InvalidAccessToken, InvalidToken, SessionNotFound, ValueError):
            if token.count(".") == _DOTS:
                principal = await self.authenticator.verifier.verify(token)
                await self.sessions.end(anonymous_actor(client), UUID(principal.subject), UUID(principal.sid))
            else:
                await self.sessions.end_by_token(token, client)
