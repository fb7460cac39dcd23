"""Refresh tokens: opaque and valid once; a token determines its successor, so that no table of used tokens is needed.

A token is the id of its session, 32 random bytes, and a MAC that proves that this service has issued it. Its successor
is an HMAC of the token itself, so that presenting one token twice gives the same successor twice. The MAC alone
distinguishes a used token from an invented one: only a token that was really issued and is no longer the current one is
a sign of theft, and an attacker cannot end a session by inventing tokens.
"""

from __future__ import annotations

import base64
import hmac
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256
from uuid import UUID

from backend.derived_keys import Keys

_ID = 16
_SECRET = 32
_MAC = 16
"""Bytes: 128 bits, which NIST SP 800-107 section 5.3.3 allows for a truncated HMAC-SHA256."""

_MADE_BY_US, _NEXT = b"made by us", b"next"
"""The purpose of an HMAC precedes its message, so that neither can stand in for the other."""


@dataclass(frozen=True, slots=True)
class RefreshToken:
    """A refresh token that this service has issued."""

    raw: bytes

    @property
    def session_id(self) -> UUID:
        """Return the id of the session that it belongs to."""
        return UUID(bytes=self.raw[:_ID])

    @property
    def digest(self) -> bytes:
        """Return its SHA-256, which is all that is stored of it."""
        return sha256(self.raw).digest()

    def __str__(self) -> str:
        return base64.urlsafe_b64encode(self.raw).decode().rstrip("=")


class RefreshTokens:
    """Creates and parses refresh tokens."""

    def __init__(self, keys: Keys) -> None:
        self._keys = keys

    def create(self, session_id: UUID) -> RefreshToken:
        """Return the first token of a session."""
        body = session_id.bytes + secrets.token_bytes(_SECRET)
        return RefreshToken(body + self._marks(body)[0])

    def successors(self, token: RefreshToken) -> Iterator[RefreshToken]:
        """Yield the token's successor under each of ``SECRET_KEYS``, newest first: they may change before a repeat."""
        for place, secret in enumerate(self._keys.refresh_macs(_NEXT + token.raw)):
            body = token.raw[:_ID] + secret
            yield RefreshToken(body + self._marks(body)[place])

    def parse(self, text: str) -> RefreshToken | None:
        """Return the token if this service has issued it; of several base64 spellings only the canonical one counts."""
        try:
            raw = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
        except ValueError:
            return None
        token = RefreshToken(raw)
        if len(raw) != _ID + _SECRET + _MAC or str(token) != text:
            return None
        body, mark = raw[:-_MAC], raw[-_MAC:]
        return token if any(hmac.compare_digest(mark, right) for right in self._marks(body)) else None

    def _marks(self, body: bytes) -> list[bytes]:
        return [mac[:_MAC] for mac in self._keys.refresh_macs(_MADE_BY_US + body)]
