"""Verifies access tokens."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

import jwt
from jwt.utils import base64url_decode, base64url_encode

from jwt_tools.errors import InvalidToken
from jwt_tools.keys import ACCESS_TOKEN_TYPE, KeySource, VerifyingKey

_REQUIRED = ["iss", "sub", "aud", "exp", "iat", "nbf", "jti", "client_id"]
"""RFC 9068 section 2.2, and `nbf`, which our issuer always sets."""


_ANY_ERROR = (jwt.PyJWTError, ValueError, TypeError, OverflowError, RecursionError)


@dataclass(frozen=True, slots=True)
class Principal:
    """The user that a token names."""

    subject: str
    sid: str
    login: str
    roles: frozenset[str]
    permissions: frozenset[str]
    claims: Mapping[str, Any]
    """All claims of the token."""


def _texts(claims: dict[str, Any], name: str) -> frozenset[str]:
    values = claims.get(name, [])
    if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
        raise InvalidToken(name)
    return frozenset(values)


def _refuse_other_spellings(token: str) -> None:
    """Refuse padding, and unused bits of a last letter: a token must have one spelling only (CVE-2026-102269)."""
    for segment in token.split("."):
        if base64url_encode(base64url_decode(segment)).decode() != segment:
            raise InvalidToken("spelling")


def _read_kid(token: str) -> str:
    """Return the name of the key that the token claims; refuse whatever is wrong with spelling and header."""
    try:
        _refuse_other_spellings(token)
        header = jwt.get_unverified_header(token)
    except _ANY_ERROR as error:
        raise InvalidToken(type(error).__name__) from error
    kid, token_type = header.get("kid"), str(header.get("typ", "")).lower()
    if not isinstance(kid, str) or token_type not in (ACCESS_TOKEN_TYPE, f"application/{ACCESS_TOKEN_TYPE}"):
        raise InvalidToken("header")
    return kid


@dataclass(frozen=True, slots=True)
class _Verified:
    """A token that was verified before: only time, and the withdrawal of its key, can change the result."""

    key: VerifyingKey
    principal: Principal


_MAX_LENGTH, _DOTS = 8192, 2
"""Letters of a token, and dots between its parts (RFC 7515 section 7.1); other texts are refused unread."""

_MAX_CACHED = 4096
"""Verified tokens kept in memory, 2 kB each; attackers cannot fill it, since only valid tokens are kept."""


@dataclass(frozen=True, slots=True)
class TokenVerifier:
    """Accepts only tokens of one issuer for one audience; nothing in a token decides how it is verified."""

    keys: KeySource
    issuer: str
    audience: str
    leeway: int
    """Seconds that two clocks may differ by."""
    _verified: dict[bytes, _Verified] = field(default_factory=dict, init=False, repr=False, compare=False)
    """By the SHA-256 of the token: a signature costs a tenth of a millisecond, and a token is sent many times."""

    async def verify(self, token: str) -> Principal:
        """Return the principal that a token names.

        `kid` selects one of the issuer's keys, and the key has its algorithm; `jku`, `x5u`, `jwk` and `alg` of the
        token decide nothing (RFC 8725 sections 3.1, 3.2, 3.5, 3.11).

        Raises:
            InvalidToken: the token is refused; the reason is for logs alone.
            KeysUnavailable: the issuer's keys cannot be read.
        """
        if len(token) > _MAX_LENGTH or token.count(".") != _DOTS:
            raise InvalidToken("shape")
        digest = sha256(token.encode(errors="surrogatepass")).digest()
        known = self._verified.get(digest)
        if known and await self._is_still_valid(known):
            return known.principal
        key = await self.keys.find_key(_read_kid(token))
        if key is None:
            raise InvalidToken("key")
        principal = self._principal(token, key)
        while len(self._verified) >= _MAX_CACHED:
            del self._verified[next(iter(self._verified))]
        self._verified[digest] = _Verified(key, principal)
        return principal

    async def _is_still_valid(self, known: _Verified) -> bool:
        in_time: bool = known.principal.claims["exp"] > time.time() - self.leeway
        return in_time and await self.keys.find_key(known.key.kid) is known.key

    def _principal(self, token: str, key: VerifyingKey) -> Principal:
        """Return the principal, if the key has signed the token for this audience and this moment."""
        try:
            claims = jwt.decode(
                token,
                key.public_key,
                algorithms=[key.algorithm],
                issuer=self.issuer,
                audience=self.audience,
                leeway=self.leeway,
                options={"require": _REQUIRED, "strict_aud": True},
            )
        except _ANY_ERROR as error:
            raise InvalidToken(type(error).__name__) from error
        # PyJWT takes a number in a string, and a float, for a date (threats.md, row 44).
        if not all(type(claims[name]) is int for name in ("exp", "iat", "nbf")):
            raise InvalidToken("dates")
        if not all(isinstance(claims.get(name), str) for name in ("sub", "sid", "login", "jti", "client_id")):
            raise InvalidToken("claims")
        return Principal(
            subject=claims["sub"],
            sid=claims["sid"],
            login=claims["login"],
            roles=_texts(claims, "roles"),
            permissions=_texts(claims, "permissions"),
            claims=claims,
        )
