"""Known devices: whoever has finished a flow gets a card, and is no stranger to that account any more.

A card is no credential. It opens nothing, and only lets its holder use a mail bucket and a failure bucket of his own,
and one of two ladders beside the strangers', so that an attack on the account is not felt on the owner's own device
(OWASP, "device cookies"). It needs no table: id, time and two MACs, one over the account's address and one over its
login, whichever is typed next time.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import secrets
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeVar

from backend.keys import Keys
from models.context.client import ClientInfo, FlowResult
from models.responses.common import Answer
from models.values.login import canonical_login

_AnswerType = TypeVar("_AnswerType", bound=Answer | None)

_ID = 16
_TIME = 4
_MAC = 16
"""Bytes: 128 bits to forge, as many as NIST SP 800-107 section 5.3.3 leaves of a truncated HMAC-SHA256."""

_CARD = _ID + _TIME + 2 * _MAC
_MOST = 4
"""Accounts that one device is known to: a family's tablet."""

_LADDERS = 2
"""That the known devices of an account share: with one each, whoever was in an account for an hour could collect cards
there, and with a thousand of them guess at it nine thousand times."""

_LONGEST = _MOST * (_CARD * 4 // 3 + 4)


@dataclass(frozen=True, slots=True)
class _Card:
    device: bytes
    issued: bytes
    macs: tuple[bytes, bytes]

    def __str__(self) -> str:
        raw = self.device + self.issued + b"".join(self.macs)
        return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def _read(text: str) -> Iterator[_Card]:
    """Every card that has the form of one; what has not is nobody's, and no error."""
    for part in text.split(".")[:_MOST] if len(text) <= _LONGEST else ():
        try:
            raw = base64.b64decode(part + "=" * (-len(part) % 4), altchars=b"-_", validate=True)
        except (binascii.Error, ValueError):
            continue
        if len(raw) == _CARD:
            macs = raw[_ID + _TIME : -_MAC], raw[-_MAC:]
            yield _Card(raw[:_ID], raw[_ID : _ID + _TIME], macs)


def device_ladder(device: str) -> str:
    """Which of the ladders for known devices one climbs; nothing for a stranger, who climbs the other one."""
    return str(int(device, 16) % _LADDERS + 1) if device else ""


class KnownDevices:
    """Issues cards and recognises them."""

    def __init__(self, keys: Keys, ttl: int) -> None:
        self._keys = keys
        self._ttl = ttl

    def recognise(self, device_tokens: str, name: str) -> str:
        """The device's name, if one of its cards was issued for the account of that address or login; else nothing."""
        found = self._find(device_tokens, name)
        return found.device.hex() if found else ""

    def remember(self, client: ClientInfo, email: str, login: str, answer: _AnswerType) -> FlowResult[_AnswerType]:
        """Make the caller's device known to an account, along with the answer to the flow that proved it."""
        return FlowResult(answer, self.issue(client.device_tokens, email, canonical_login(login)), self._ttl)

    def issue(self, device_tokens: str, email: str, login: str) -> str:
        """The cards that a device has from now on: this account's first, those of other accounts behind it."""
        old = self._find(device_tokens, email) or self._find(device_tokens, login)
        device = old.device if old else secrets.token_bytes(_ID)
        issued = int(time.time()).to_bytes(_TIME)
        macs = self._mac(device, issued, email)[0], self._mac(device, issued, login)[0]
        others = [card for card in _read(device_tokens) if card.device != device][: _MOST - 1]
        return ".".join(str(card) for card in (_Card(device, issued, macs), *others))

    def _find(self, device_tokens: str, name: str) -> _Card | None:
        oldest = time.time() - self._ttl
        for card in _read(device_tokens):
            valid = any(
                hmac.compare_digest(mac, right)
                for mac in card.macs
                for right in self._mac(card.device, card.issued, name)
            )
            if valid and int.from_bytes(card.issued) > oldest:
                return card
        return None

    def _mac(self, device: bytes, issued: bytes, name: str) -> list[bytes]:
        return [mac[:_MAC] for mac in self._keys.device_macs(device + issued + name.encode())]
