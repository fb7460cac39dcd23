"""Issues the access token of a session."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from backend.tokens.refresh_tokens import RefreshToken
from backend.tokens.signing_keys import SigningKeys
from database.sessions import Session
from database.users import UserWithAccess
from jwt_tools.create import AccessTokenClaims, create_access_token
from jwt_tools.keys import SigningKey
from models.responses.tokens import Tokens


@dataclass(frozen=True, slots=True)
class TokenService:
    """Issues access tokens."""

    keys: SigningKeys
    issuer: str
    audience: str
    client_id: str
    ttl: int

    def issue(self, key: SigningKey, account: UserWithAccess, session: Session, refresh: RefreshToken) -> Tokens:
        """Return the tokens of a session that a password and a mailed code have opened (``pwd``, ``otp``: RFC 8176)."""
        claims = AccessTokenClaims(
            subject=str(account.user.id),
            client_id=self.client_id,
            sid=str(session.id),
            auth_time=int(session.created_at.timestamp()),
            amr=("pwd", "otp"),
            login=account.user.login,
            roles=account.roles,
            permissions=account.permissions,
        )
        # An access token never outlives its session.
        ttl = max(1, min(self.ttl, int((session.ends_at - datetime.now(UTC)).total_seconds())))
        token = create_access_token(key, claims, issuer=self.issuer, audience=self.audience, ttl=ttl)
        return Tokens(access_token=token, expires_in=ttl, refresh_token=str(refresh))
