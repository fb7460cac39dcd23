"""Creates access tokens."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from uuid import uuid4

import jwt

from jwt_tools.keys import ACCESS_TOKEN_TYPE, SigningKey


@dataclass(frozen=True, slots=True)
class AccessTokenClaims:
    """What a token says about its user and session."""

    subject: str
    """User id, never the e-mail address."""
    client_id: str
    sid: str
    """The session that the token belongs to."""
    auth_time: int
    """When the user authenticated, in seconds since 1970."""
    amr: Sequence[str]
    """How the user authenticated: values of RFC 8176 section 2."""
    login: str
    roles: Sequence[str]
    permissions: Sequence[str]


def create_access_token(key: SigningKey, claims: AccessTokenClaims, *, issuer: str, audience: str, ttl: int) -> str:
    """Return a signed token of RFC 9068 section 2 that lives ``ttl`` seconds."""
    now = int(time.time())
    payload = {
        "iss": issuer,
        "sub": claims.subject,
        "aud": audience,
        "exp": now + ttl,
        "iat": now,
        "nbf": now,
        "jti": uuid4().hex,
        "client_id": claims.client_id,
        "sid": claims.sid,
        "auth_time": claims.auth_time,
        "amr": list(claims.amr),
        "login": claims.login,
        "roles": list(claims.roles),
        "permissions": list(claims.permissions),
    }
    headers = {"typ": ACCESS_TOKEN_TYPE, "kid": key.kid}
    return jwt.encode(payload, key.private_key, algorithm=key.algorithm, headers=headers)
