"""Fetches and caches the keys of a remote issuer."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from time import monotonic
from urllib.parse import urlsplit

from jwt_tools.errors import KeysUnavailable
from jwt_tools.fetch import TIMEOUT, Document, fetch, is_http
from jwt_tools.keys import KeyRing, UnusableKey, VerifyingKey

log = logging.getLogger(__name__)

RETRY_PAUSE = 5.0
"""Seconds from a failed fetch to the next one; meanwhile requests are refused at once if there is no list."""

_MIN_LIFE, _MAX_LIFE = 1.0, 3600.0
"""Bounds of the seconds that a list stays fresh, whatever its issuer says. Less would fetch it for each request, more
would keep a withdrawn key. The lower bound is small: an issuer may sign with a new key as soon as every list without it
has expired."""

_MAX_STALE = 86_400.0
"""Seconds that a list is used while its issuer is away."""

_SEARCH_INTERVAL = 60.0
"""Seconds between two fetches for names that are not in the list: made-up names cost no more than that."""


@dataclass(frozen=True, slots=True)
class _Published:
    """A list as it was fetched, and until when it may be used by this process's clock."""

    ring: KeyRing
    address: str
    etag: str
    fresh_until: float
    usable_until: float


class RemoteKeys:
    """An issuer's published keys, kept for as long as the issuer says, and fetched by one task at a time.

    An expired list is used while it is fetched again, and for a day when that fails. An instance serves one event loop.
    """

    def __init__(self, issuer: str, *, jwks_url: str | None = None) -> None:
        """Without ``jwks_url`` the address of the list is read from the issuer's metadata.

        Raises:
            ValueError: an address does not start with http or https.
        """
        if not all(is_http(address) for address in (issuer, jwks_url or issuer)):
            raise ValueError("the issuer, and the address of its keys, must start with https:// or http://")
        self._issuer = issuer
        self._jwks_url = jwks_url
        self._discovered = ""
        self._discovered_until = 0.0
        self._published: _Published | None = None
        self._reading: asyncio.Task[None] | None = None
        self._retry_at = float("-inf")
        self._next_search = float("-inf")

    async def find_key(self, kid: str) -> VerifyingKey | None:
        """Return the issuer's key of that name, or None.

        Raises:
            KeysUnavailable: there is no list; or the list has expired, lacks the name, and cannot be fetched again.
        """
        published = self._published
        if published is None or monotonic() >= published.usable_until:
            self._read_in_background()
            await self._wait()
            return await self._usable_list().ring.find_key(kid)
        if monotonic() >= published.fresh_until:
            self._read_in_background()
        key = await published.ring.find_key(kid)
        return await self._find_new_key(kid) if key is None else key

    async def _find_new_key(self, kid: str) -> VerifyingKey | None:
        """Fetch the list again, since the key may be new; but not for every made-up name."""
        if not self._is_reading() and monotonic() >= max(self._next_search, self._retry_at):
            self._next_search = monotonic() + _SEARCH_INTERVAL
            self._read_in_background()
        await self._wait()
        published = self._usable_list()
        key = await published.ring.find_key(kid)
        # A key that a fresh list lacks does not exist. When an expired list lacks it, the answer is "try again": for an
        # invalid token the client would make its user log in again.
        if key is None and monotonic() >= published.fresh_until:
            raise KeysUnavailable("an old list of keys")
        return key

    def _usable_list(self) -> _Published:
        if self._published is None or monotonic() >= self._published.usable_until:
            raise KeysUnavailable("no list of keys")
        return self._published

    def _is_reading(self) -> bool:
        return self._reading is not None and not self._reading.done()

    def _read_in_background(self) -> None:
        """Start a fetch, unless one is under way, or has failed a moment ago."""
        if not self._is_reading() and monotonic() >= self._retry_at:
            self._reading = asyncio.create_task(self._read())

    async def _wait(self) -> None:
        """Wait for the fetch under way, but not for long; the fetch itself goes on."""
        if self._reading is not None and self._is_reading():
            await asyncio.wait([self._reading], timeout=TIMEOUT)

    async def _read(self) -> None:
        try:
            self._published = await self._fetch_list()
        except (KeysUnavailable, UnusableKey) as error:
            self._pause()
            log.warning("the keys of %s cannot be read: %s", self._issuer, error)
        except Exception:
            self._pause()
            log.exception("the keys of %s cannot be read", self._issuer)

    def _pause(self) -> None:
        self._discovered = ""  # the list may have moved
        self._retry_at = monotonic() + RETRY_PAUSE

    async def _fetch_list(self) -> _Published:
        now = monotonic()
        address = self._jwks_url or await self._discover()
        before = self._published if self._published and self._published.address == address else None
        document = await fetch(address, before.etag if before else "")
        ring = before.ring if before and document.is_unchanged else KeyRing.from_jwks(document.content)
        if not ring.kids:
            raise UnusableKey("no key in the list that we could use")
        life = min(max(document.life, _MIN_LIFE), _MAX_LIFE)
        return _Published(ring, address, document.etag, fresh_until=now + life, usable_until=now + _MAX_STALE)

    async def _discover(self) -> str:
        """Return the address of the list in the issuer's metadata (RFC 8414 section 2)."""
        if self._discovered and monotonic() < self._discovered_until:
            return self._discovered
        document = await fetch(_metadata_url(self._issuer))
        self._discovered = self._jwks_uri(document)
        self._discovered_until = monotonic() + _MAX_LIFE
        return self._discovered

    def _jwks_uri(self, document: Document) -> str:
        metadata = document.content if isinstance(document.content, dict) else {}
        # RFC 8414 section 3.3: another server must not pass its metadata off as the issuer's.
        if metadata.get("issuer") != self._issuer:
            raise KeysUnavailable("metadata of another issuer")
        address = metadata.get("jwks_uri")
        # Keys fetched without TLS would undo the TLS of the metadata.
        if not isinstance(address, str) or not is_http(address) or (_has_tls(self._issuer) and not _has_tls(address)):
            raise KeysUnavailable("metadata without an address of keys")
        return address


def _has_tls(address: str) -> bool:
    return urlsplit(address).scheme == "https"


def _metadata_url(issuer: str) -> str:
    """Return the address of the issuer's metadata: RFC 8414 section 3.1, between host and path."""
    parts = urlsplit(issuer)
    path = f"/.well-known/oauth-authorization-server{parts.path.rstrip('/')}"
    return parts._replace(path=path, query="", fragment="").geturl()
