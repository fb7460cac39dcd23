"""Makes access tokens."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from uuid import uuid4

import jwt

from jwt_tools.keys import ACCESS_TOKEN_TYPE, SigningKey


@dataclass(frozen=True, slots=True)
class Grant:
    """What a token says of its bearer."""

    subject: str
    """User id, never the e-mail address."""
    client_id: str
    sid: str
    """The session that the token belongs to."""
    auth_time: int
    """When the person proved who they are, in seconds since 1970."""
    amr: Sequence[str]
    """How: values of RFC 8176 section 2."""
    login: str
    roles: Sequence[str]
    permissions: Sequence[str]


def create_access_token(key: SigningKey, grant: Grant, *, issuer: str, audience: str, ttl: int) -> str:
    """A signed token of RFC 9068 section 2 that lives ``ttl`` seconds."""
    now = int(time.time())
    claims = {
        "iss": issuer,
        "sub": grant.subject,
        "aud": audience,
        "exp": now + ttl,
        "iat": now,
        "nbf": now,
        "jti": uuid4().hex,
        "client_id": grant.client_id,
        "sid": grant.sid,
        "auth_time": grant.auth_time,
        "amr": list(grant.amr),
        "login": grant.login,
        "roles": list(grant.roles),
        "permissions": list(grant.permissions),
    }
    headers = {"typ": ACCESS_TOKEN_TYPE, "kid": key.kid}
    return jwt.encode(claims, key.private_key, algorithm=key.algorithm, headers=headers)
