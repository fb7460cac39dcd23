"""Fetches one small JSON document from an issuer: without redirects, and bounded in time and size."""

from __future__ import annotations

import asyncio
import json
import re
from dataclasses import dataclass
from email.message import Message
from http import HTTPStatus
from http.client import HTTPException, HTTPResponse
from time import monotonic
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit
from urllib.request import HTTPRedirectHandler, Request, build_opener

from jwt_tools.errors import KeysUnavailable

TIMEOUT = 2.5
"""Seconds for a connection, and for each read from it; a request waits meanwhile."""

_MAX_BYTES = 65_536
"""Bytes; a hundred RSA keys are less."""

_DEFAULT_LIFE = 300.0
"""Seconds that a document stays fresh when its issuer does not say."""

# RFC 9110 section 8.8.3. A tag of another form is not sent back: if urllib refused to send it, the list could never be
# read again.
_ENTITY_TAG = re.compile(r'(?:W/)?"[\x21\x23-\x7e]{0,200}"')

# RFC 9111 section 5.2.2.1; the other directives of the header concern shared caches.
_MAX_AGE = re.compile(r'(?:^|[,\s])max-age="?([0-9]{1,9})', re.IGNORECASE)
_SECONDS = re.compile(r"[0-9]{1,9}")


class _NoRedirects(HTTPRedirectHandler):
    """Follows no redirect: a server that may redirect a request could serve keys of its own."""

    def redirect_request(self, *_: Any, **__: Any) -> None:
        """Return no request; the redirect is then an error like any other."""


_OPENER = build_opener(_NoRedirects)


@dataclass(frozen=True, slots=True)
class Document:
    """The answer of an address."""

    content: Any
    """JSON; None when it is unchanged."""
    is_unchanged: bool
    etag: str
    """Names this content (RFC 9110 section 8.8.3); empty when the issuer names none."""
    life: float
    """Seconds that it stays fresh."""


def is_http(address: str) -> bool:
    """Return whether this is an address of http or https: urllib would read files, too."""
    try:
        parts = urlsplit(address)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        return False


async def fetch(address: str, etag: str = "") -> Document:
    """Return the document at an address, or that it still has this entity tag.

    Runs on a thread, which cannot be stopped: it ends some time after `TIMEOUT`, later only while a name is resolved
    or headers trickle in. The caller needs its own timeout.

    Raises:
        KeysUnavailable: there is no answer, none in time, or none that can be used.
    """
    return await asyncio.to_thread(_get, address, etag)


def _get(address: str, etag: str) -> Document:
    deadline = monotonic() + TIMEOUT
    # Firewalls before public servers refuse the default, "Python-urllib".
    headers = {"Accept": "application/json", "User-Agent": "jwt_tools"}
    if etag:
        headers["If-None-Match"] = etag
    try:
        with _OPENER.open(Request(address, headers=headers), timeout=TIMEOUT) as response:  # noqa: S310 - is_http
            return _document(response, deadline)
    except HTTPError as refusal:
        with refusal:
            if refusal.code == HTTPStatus.NOT_MODIFIED and etag:
                return Document(None, is_unchanged=True, etag=etag, life=_life(refusal.headers))
            raise KeysUnavailable(f"status {refusal.code}") from refusal
    except (OSError, HTTPException, ValueError, RecursionError) as error:
        # The type alone: the text of some errors holds what the server sent.
        cause = error.reason if isinstance(error, URLError) else error
        raise KeysUnavailable(type(cause).__name__) from error


def _document(response: HTTPResponse, deadline: float) -> Document:
    if response.status != HTTPStatus.OK:
        raise KeysUnavailable(f"status {response.status}")
    tag = response.headers.get("ETag", "")
    return Document(
        content=json.loads(_body(response, deadline)),
        is_unchanged=False,
        etag=tag if _ENTITY_TAG.fullmatch(tag) else "",
        life=_life(response.headers),
    )


def _body(response: HTTPResponse, deadline: float) -> bytes:
    body = b""
    while chunk := response.read1(_MAX_BYTES + 1 - len(body)):
        body += chunk
        if len(body) > _MAX_BYTES:
            raise KeysUnavailable("too large")
        # The timeout is per read: a server that sends one byte a second would hold the thread for a day.
        if monotonic() > deadline:
            raise KeysUnavailable("too slow")
    return body


def _life(headers: Message) -> float:
    """Return how long a document stays fresh (RFC 9111 section 4.2); a cache on the way has kept it for `Age`."""
    found = _MAX_AGE.search(headers.get("Cache-Control", ""))
    if found is None:
        return _DEFAULT_LIFE
    age = headers.get("Age", "")
    return float(found[1]) - (float(age) if _SECONDS.fullmatch(age) else 0)
