"""The keys of an issuer that is elsewhere."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from time import monotonic
from urllib.parse import urlsplit

from jwt_tools.errors import KeysUnavailable
from jwt_tools.fetch import PATIENCE, Document, fetch, is_http
from jwt_tools.keys import KeyRing, UnusableKey, VerifyingKey

log = logging.getLogger(__name__)

PAUSE = 5.0
"""Seconds from a failed try to the next one; whoever calls in between is refused at once if there is no list."""

_LEAST, _MOST = 1.0, 3600.0
"""Seconds that a list is kept at least and at most, whatever its issuer says: less would be a call for each request,
and more would keep a withdrawn key. No more than that at least: an issuer may sign with a new key as soon as every list
that lacks it is out of date by its own word."""

_OLDEST = 86_400.0
"""Seconds that a list serves on while its issuer is away."""

_NEXT_LOOK = 60.0
"""Seconds between two looks for names that are not in the list; whoever makes names up costs no more than that."""


@dataclass(frozen=True, slots=True)
class _Published:
    """A list as it was read, and the moments of our own clock that it is good until."""

    ring: KeyRing
    address: str
    etag: str
    fresh_until: float
    useful_until: float


class RemoteKeys:
    """An issuer's published keys, kept for as long as it says, and read again by one reader at a time.

    A list that is out of date serves on while it is read again, and for a day when it cannot be. For one event loop.
    """

    def __init__(self, issuer: str, *, jwks_url: str | None = None) -> None:
        """Give the address of the list if it is not to be learned from the issuer's metadata.

        Raises:
            ValueError: one of the two is no address of http or https.
        """
        if not all(is_http(address) for address in (issuer, jwks_url or issuer)):
            raise ValueError("the issuer, and the address of its keys, must start with https:// or http://")
        self._issuer = issuer
        self._jwks_url = jwks_url
        self._learned = ""
        self._learned_until = 0.0
        self._published: _Published | None = None
        self._reading: asyncio.Task[None] | None = None
        self._paused_until = float("-inf")
        self._next_look = float("-inf")

    async def find_key(self, kid: str) -> VerifyingKey | None:
        """The issuer's key of that name.

        Raises:
            KeysUnavailable: there is no list, or an old one without the name that cannot be read again.
        """
        published = self._published
        if published is None or monotonic() >= published.useful_until:
            self._read_in_background()
            await self._wait()
            return await self._at_hand().ring.find_key(kid)
        if monotonic() >= published.fresh_until:
            self._read_in_background()
        key = await published.ring.find_key(kid)
        return await self._look_again(kid) if key is None else key

    async def _look_again(self, kid: str) -> VerifyingKey | None:
        """The key, if it is new: the list is read again, but not for every name that somebody makes up."""
        if not self._is_reading() and monotonic() >= max(self._next_look, self._paused_until):
            self._next_look = monotonic() + _NEXT_LOOK
            self._read_in_background()
        await self._wait()
        published = self._at_hand()
        key = await published.ring.find_key(kid)
        # A name that a fresh list lacks is nobody's. An old list does not tell, and "try again" is then the answer: for
        # a bad token its bearer would log in anew.
        if key is None and monotonic() >= published.fresh_until:
            raise KeysUnavailable("an old list of keys")
        return key

    def _at_hand(self) -> _Published:
        if self._published is None or monotonic() >= self._published.useful_until:
            raise KeysUnavailable("no list of keys")
        return self._published

    def _is_reading(self) -> bool:
        return self._reading is not None and not self._reading.done()

    def _read_in_background(self) -> None:
        """Have the list read, unless that is under way, or has failed a moment ago."""
        if not self._is_reading() and monotonic() >= self._paused_until:
            self._reading = asyncio.create_task(self._read())

    async def _wait(self) -> None:
        """Wait until the list is read, if it is being read, and not for long; its reader goes on without us."""
        if self._reading is not None and self._is_reading():
            await asyncio.wait([self._reading], timeout=PATIENCE)

    async def _read(self) -> None:
        try:
            self._published = await self._newest()
        except (KeysUnavailable, UnusableKey) as error:
            self._pause()
            log.warning("the keys of %s cannot be read: %s", self._issuer, error)
        except Exception:
            self._pause()
            log.exception("the keys of %s cannot be read", self._issuer)

    def _pause(self) -> None:
        self._learned = ""  # the list may have moved
        self._paused_until = monotonic() + PAUSE

    async def _newest(self) -> _Published:
        now = monotonic()
        address = self._jwks_url or await self._learn()
        before = self._published if self._published and self._published.address == address else None
        document = await fetch(address, before.etag if before else "")
        ring = before.ring if before and document.is_unchanged else KeyRing.from_jwks(document.content)
        if not ring.kids:
            raise UnusableKey("no key in the list that we could use")
        life = min(max(document.life, _LEAST), _MOST)
        return _Published(ring, address, document.etag, fresh_until=now + life, useful_until=now + _OLDEST)

    async def _learn(self) -> str:
        """The address of the list, as the issuer's metadata has it (RFC 8414 section 2)."""
        if self._learned and monotonic() < self._learned_until:
            return self._learned
        document = await fetch(_metadata_url(self._issuer))
        self._learned = self._jwks_uri(document)
        self._learned_until = monotonic() + _MOST
        return self._learned

    def _jwks_uri(self, document: Document) -> str:
        metadata = document.content if isinstance(document.content, dict) else {}
        # RFC 8414 section 3.3: metadata that somebody else's server hands out is not taken for the issuer's.
        if metadata.get("issuer") != self._issuer:
            raise KeysUnavailable("metadata of another issuer")
        address = metadata.get("jwks_uri")
        # Keys that came without TLS would undo the TLS that the metadata came by.
        if not isinstance(address, str) or not is_http(address) or (_has_tls(self._issuer) and not _has_tls(address)):
            raise KeysUnavailable("metadata without an address of keys")
        return address


def _has_tls(address: str) -> bool:
    return urlsplit(address).scheme == "https"


def _metadata_url(issuer: str) -> str:
    """Where an issuer describes itself: RFC 8414 section 3.1, between its host and its path."""
    parts = urlsplit(issuer)
    path = f"/.well-known/oauth-authorization-server{parts.path.rstrip('/')}"
    return parts._replace(path=path, query="", fragment="").geturl()
