"""Refresh tokens: opaque, single use; each makes its own successor, and none needs a table of the used ones.

A token is the id of its session, 32 bytes that nobody can guess, and a MAC by which we know that we made it. Its
successor is an HMAC of itself, so that whoever presents it twice is given the same one twice. A used token is told from
a made-up one by its MAC alone: only a token of ours that is not the good one any more is a sign of theft, and nobody
can end a session by making one up.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256
from uuid import UUID

from backend.keys import Keys

_ID = 16
_SECRET = 32
_MAC = 16
"""Bytes: 128 bits to forge, as many as NIST SP 800-107 section 5.3.3 leaves of a truncated HMAC-SHA256."""

_MADE_BY_US, _NEXT = b"made by us", b"next"
"""What an HMAC is for stands in front of what it is over."""


@dataclass(frozen=True, slots=True)
class RefreshToken:
    """A token that we have made."""

    raw: bytes

    @property
    def session_id(self) -> UUID:
        """The session that it goes on with."""
        return UUID(bytes=self.raw[:_ID])

    @property
    def digest(self) -> bytes:
        """What is stored of it: SHA-256."""
        return sha256(self.raw).digest()

    def __str__(self) -> str:
        return base64.urlsafe_b64encode(self.raw).decode().rstrip("=")


class RefreshTokens:
    """Makes and reads refresh tokens."""

    def __init__(self, keys: Keys) -> None:
        self._keys = keys

    def create(self, session_id: UUID) -> RefreshToken:
        """The token that a session begins with."""
        body = session_id.bytes + secrets.token_bytes(_SECRET)
        return RefreshToken(body + self._marks(body)[0])

    def successors(self, token: RefreshToken) -> Iterator[RefreshToken]:
        """What follows the token, under each of our secrets, newest first: a repeat may outlive a change of them."""
        for place, secret in enumerate(self._keys.refresh_macs(_NEXT + token.raw)):
            body = token.raw[:_ID] + secret
            yield RefreshToken(body + self._marks(body)[place])

    def parse(self, text: str) -> RefreshToken | None:
        """The token, if it is one of ours in its one spelling."""
        try:
            raw = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
        except (binascii.Error, ValueError):
            return None
        token = RefreshToken(raw)
        if len(raw) != _ID + _SECRET + _MAC or str(token) != text:
            return None
        body, mark = raw[:-_MAC], raw[-_MAC:]
        return token if any(hmac.compare_digest(mark, right) for right in self._marks(body)) else None

    def _marks(self, body: bytes) -> list[bytes]:
        return [mac[:_MAC] for mac in self._keys.refresh_macs(_MADE_BY_US + body)]
