"""Known devices: a device that has finished a flow gets a device token, and is then known to that account.

A device token is no credential. It opens nothing; it only gives its device its own mail bucket and failure bucket, and
one of two ladders beside that of unknown devices, so that the owner does not feel an attack on the account (OWASP,
"device cookies"). It needs no table: id, time and two MACs, one over the account's address and one over its login,
whichever is typed next time.
"""

from __future__ import annotations

import base64
import hmac
import secrets
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeVar

from backend.derived_keys import Keys
from models.context.client import ClientInfo, FlowResult
from models.responses.common import Answer
from models.values.login import canonical_login

_AnswerType = TypeVar("_AnswerType", bound=Answer | None)

_ID = 16
_TIME = 4
_MAC = 16
"""Bytes: 128 bits to forge, as many as NIST SP 800-107 section 5.3.3 leaves of a truncated HMAC-SHA256."""

_TOKEN = _ID + _TIME + 2 * _MAC
_MAX_ACCOUNTS = 4
"""Accounts that one device is known to: a family's tablet."""

_LADDERS = 2
"""Ladders that the known devices of an account share. If each had its own, an attacker with an hour in an account could
collect a thousand device tokens there, and guess at it nine thousand times."""

_LONGEST = _MAX_ACCOUNTS * (_TOKEN * 4 // 3 + 4)


@dataclass(frozen=True, slots=True)
class _DeviceToken:
    device: bytes
    issued: bytes
    macs: tuple[bytes, bytes]

    def __str__(self) -> str:
        raw = self.device + self.issued + b"".join(self.macs)
        return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def _parse(text: str) -> Iterator[_DeviceToken]:
    """Return every well-formed token; the others are ignored, and no error."""
    for part in text.split(".")[:_MAX_ACCOUNTS] if len(text) <= _LONGEST else ():
        try:
            raw = base64.b64decode(part + "=" * (-len(part) % 4), altchars=b"-_", validate=True)
        except ValueError:
            continue
        if len(raw) == _TOKEN:
            macs = raw[_ID + _TIME : -_MAC], raw[-_MAC:]
            yield _DeviceToken(raw[:_ID], raw[_ID : _ID + _TIME], macs)


def device_ladder(device: str) -> str:
    """Return the name of a known device's ladder; empty for an unknown device, whose ladder has no name."""
    return str(int(device, 16) % _LADDERS + 1) if device else ""


class KnownDevices:
    """Issues device tokens and recognises them."""

    def __init__(self, keys: Keys, ttl: int) -> None:
        self._keys = keys
        self._ttl = ttl

    def recognise(self, device_tokens: str, name: str) -> str:
        """Return the device's id if one of its tokens was issued for the account of that address or login; else ""."""
        token = self._find_token(device_tokens, name)
        return token.device.hex() if token else ""

    def remember(self, client: ClientInfo, email: str, login: str, answer: _AnswerType) -> FlowResult[_AnswerType]:
        """Make the client's device known to the account; return the new tokens with the answer of the finished flow."""
        return FlowResult(answer, self.issue(client.device_tokens, email, canonical_login(login)), self._ttl)

    def issue(self, device_tokens: str, email: str, login: str) -> str:
        """Return the device's tokens from now on: this account's first, then those of other accounts."""
        old = self._find_token(device_tokens, email) or self._find_token(device_tokens, login)
        device = old.device if old else secrets.token_bytes(_ID)
        issued = int(time.time()).to_bytes(_TIME)
        macs = self._macs(device, issued, email)[0], self._macs(device, issued, login)[0]
        others = [token for token in _parse(device_tokens) if token.device != device][: _MAX_ACCOUNTS - 1]
        return ".".join(str(token) for token in (_DeviceToken(device, issued, macs), *others))

    def _find_token(self, device_tokens: str, name: str) -> _DeviceToken | None:
        oldest = time.time() - self._ttl
        for token in _parse(device_tokens):
            is_valid = any(
                hmac.compare_digest(mac, right)
                for mac in token.macs
                for right in self._macs(token.device, token.issued, name)
            )
            if is_valid and int.from_bytes(token.issued) > oldest:
                return token
        return None

    def _macs(self, device: bytes, issued: bytes, name: str) -> list[bytes]:
        return [mac[:_MAC] for mac in self._keys.device_macs(device + issued + name.encode())]
