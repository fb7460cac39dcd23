"""Session keys: a flow's id and a secret, in one text that means nothing to its holder."""

from __future__ import annotations

import base64
import binascii
import secrets
from hashlib import sha256
from uuid import UUID

from models.errors import FlowGone
from redis_tools.flow_store import FlowKey

_ID_BYTES = 16
_SECRET_BYTES = 32
_FROM_DEVICE = 0x80


def new_flow_id(*, from_device: bool) -> bytes:
    """A name for a flow: 127 random bits, and one that says whether a known device began it.

    A guess is debited from the thermostat before its flow is read; the bit tells which ones are not. Whoever turns it
    over names another flow, which does not exist.
    """
    name = bytearray(secrets.token_bytes(_ID_BYTES))
    name[0] = name[0] | _FROM_DEVICE if from_device else name[0] & ~_FROM_DEVICE
    return bytes(name)


def is_from_device(flow_id: bytes) -> bool:
    """Whether a known device began the flow."""
    return bool(flow_id[0] & _FROM_DEVICE)


def new_session_key(flow_id: bytes, holder: UUID | None) -> tuple[str, bytes]:
    """A session key for the flow, and the digest of its secret half: all that is ever stored of it.

    With a holder it is good in the hand of that user alone: in anybody else's it has another digest, and is refused
    before a guess is counted.
    """
    secret = secrets.token_bytes(_SECRET_BYTES)
    return base64.urlsafe_b64encode(flow_id + secret).decode(), _digest(secret, holder)


def _digest(secret: bytes, holder: UUID | None) -> bytes:
    return sha256(secret + (holder.bytes if holder else b"")).digest()


def read_session_key(session_key: str, purpose: str, holder: UUID | None) -> FlowKey:
    """What a session key opens, in the hand of its holder if it has one.

    Raises:
        FlowGone: it was never ours, and is refused like one that is not in use any more.
    """
    try:
        raw = base64.b64decode(session_key, altchars=b"-_", validate=True)
    except (binascii.Error, ValueError) as error:
        raise FlowGone from error
    if len(raw) != _ID_BYTES + _SECRET_BYTES:
        raise FlowGone
    return FlowKey(raw[:_ID_BYTES], purpose, _digest(raw[_ID_BYTES:], holder))
