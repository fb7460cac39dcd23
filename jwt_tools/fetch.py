"""Reads one small JSON document from an issuer: with patience, without redirects, and never more than a little."""

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

PATIENCE = 2.5
"""Seconds for a connection, and for each word on it; somebody waits at the other end."""

_LARGEST = 65_536
"""Bytes; a hundred RSA keys are less."""

_LIFE = 300.0
"""Seconds that a document is good for when its issuer does not say."""

# RFC 9110 section 8.8.3. What looks otherwise is not sent back: a tag that our own library refuses to send would keep
# the list from ever being read again.
_ENTITY_TAG = re.compile(r'(?:W/)?"[\x21\x23-\x7e]{0,200}"')

# RFC 9111 section 5.2.2.1; the other words of the header are about caches that are shared.
_MAX_AGE = re.compile(r'(?:^|[,\s])max-age="?([0-9]{1,9})', re.IGNORECASE)
_SECONDS = re.compile(r"[0-9]{1,9}")


class _NoRedirects(HTTPRedirectHandler):
    """Whoever may redirect a request may hand us keys of their own; a redirect is an answer like any other refusal."""

    def redirect_request(self, *_: Any, **__: Any) -> None:
        """No other request takes the place of the first one."""


_OPENER = build_opener(_NoRedirects)


@dataclass(frozen=True, slots=True)
class Document:
    """What an address answered."""

    content: Any
    """JSON; None when it is the same as before."""
    is_unchanged: bool
    etag: str
    """Names this content (RFC 9110 section 8.8.3); empty when the issuer names none."""
    life: float
    """Seconds that it is good for."""


def is_http(address: str) -> bool:
    """Whether this is the address of a web server: urllib would read files, too."""
    try:
        parts = urlsplit(address)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        return False


async def fetch(address: str, etag: str = "") -> Document:
    """The document at an address, or that it is still the one with this entity tag.

    Runs on a thread, which cannot be stopped: it ends some time after `PATIENCE`, and later only while names are
    looked up or headers trickle in. Who waits for it has to have a clock of their own.

    Raises:
        KeysUnavailable: no answer, not in time, or none that we can use.
    """
    return await asyncio.to_thread(_get, address, etag)


def _get(address: str, etag: str) -> Document:
    deadline = monotonic() + PATIENCE
    # A name of its own: firewalls before public servers turn "Python-urllib" away.
    headers = {"Accept": "application/json", "User-Agent": "jwt_tools"}
    if etag:
        headers["If-None-Match"] = etag
    try:
        with _OPENER.open(Request(address, headers=headers), timeout=PATIENCE) as response:  # noqa: S310 - is_http
            return _document(response, deadline)
    except HTTPError as refusal:
        with refusal:
            if refusal.code == HTTPStatus.NOT_MODIFIED and etag:
                return Document(None, is_unchanged=True, etag=etag, life=_life(refusal.headers))
            raise KeysUnavailable(f"status {refusal.code}") from refusal
    except (OSError, HTTPException, ValueError, RecursionError) as error:
        # The kind alone: the text of some holds what the other side said.
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
    while chunk := response.read1(_LARGEST + 1 - len(body)):
        body += chunk
        if len(body) > _LARGEST:
            raise KeysUnavailable("too large")
        # A timeout is for one word; whoever sends a byte a second would keep us for a day.
        if monotonic() > deadline:
            raise KeysUnavailable("too slow")
    return body


def _life(headers: Message) -> float:
    """How long a document is good from now on (RFC 9111 section 4.2): a cache on the way has had it for `Age`."""
    said = _MAX_AGE.search(headers.get("Cache-Control", ""))
    if said is None:
        return _LIFE
    age = headers.get("Age", "")
    return float(said[1]) - (float(age) if _SECONDS.fullmatch(age) else 0)
