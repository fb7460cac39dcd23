"""What other services ask us about a token: whether it is good now (RFC 7662), and to end its session (RFC 7009)."""

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
from models.responses.common import Introspection

_NOBODY = "0" * 64
"""A digest that no secret has: an unknown name takes as long to refuse as a wrong secret."""


@dataclass(frozen=True, slots=True)
class ServiceClients:
    """The services that may ask: their names, and the SHA-256 of their secrets, in hexadecimal.

    A secret has 256 bits, so that nobody finds it by trying digests, and nothing slower is needed.
    """

    secrets: Mapping[str, str]

    def check(self, name: str, secret: str) -> None:
        """Let a service in.

        Raises:
            InvalidClient: no such name, or another secret.
        """
        digest = sha256(secret.encode()).hexdigest()
        if not compare_digest(digest, self.secrets.get(name, _NOBODY)):
            raise InvalidClient


@dataclass(frozen=True, slots=True)
class IntrospectionService:
    """Answers services that have been let in."""

    authenticator: Authenticator
    sessions: SessionService

    async def introspect(self, token: str) -> Introspection:
        """What an access token is worth at this moment: one look at Valkey, as for our own routes.

        A refresh token is never active here: a service that asks has been shown it in place of an access token.

        Raises:
            Unavailable: Valkey is away, or PostgreSQL when it has to be asked.
        """
        try:
            bearer = await self.authenticator.verify(token)
        except InvalidToken:
            return Introspection(active=False)
        claims = bearer.claims
        # The leeway is for other people's clocks; whoever asks us goes by ours.
        if claims["exp"] <= time.time():
            return Introspection(active=False)
        return Introspection(
            active=True,
            scope=" ".join(sorted(bearer.permissions)),
            client_id=claims["client_id"],
            username=bearer.login,
            token_type="Bearer",  # noqa: S106 - the scheme of RFC 6750
            exp=claims["exp"],
            iat=claims["iat"],
            nbf=claims["nbf"],
            sub=bearer.subject,
            aud=claims["aud"],
            iss=claims["iss"],
            jti=claims["jti"],
            sid=bearer.sid,
            roles=sorted(bearer.roles),
            permissions=sorted(bearer.permissions),
        )

    async def revoke(self, token: str, asker: ClientInfo) -> None:
        """End the session of a token, whichever of its two kinds it is; what is no good token of ours ends nothing.

        Raises:
            Unavailable: a server is away.
        """
        with suppress(InvalidAccessToken, InvalidToken, SessionNotFound, ValueError):
            if token.count(".") == _DOTS:
                client = await self.authenticator.tokens.verify(token)
                await self.sessions.end(anonymous_actor(asker), UUID(client.subject), UUID(client.sid))
            else:
                await self.sessions.end_by_token(token, asker)


_DOTS = 2
"""A signed token has three parts (RFC 7515 section 7.1)."""
