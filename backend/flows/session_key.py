"""Session keys: a flow's id and a secret, in one text that is opaque to clients."""

from __future__ import annotations

import base64
import secrets
from hashlib import sha256
from uuid import UUID

from models.errors import FlowGone
from models.values.flow import Data_co, FlowSpec
from redis_tools.flow_store import FlowKey

_ID_BYTES = 16
_SECRET_BYTES = 32
_FROM_DEVICE = 0x80


def new_flow_id(*, from_device: bool) -> bytes:
    """Return an id of 127 random bits, and one bit that says whether a known device began the flow.

    An attempt is debited from the thermostat before its flow is read; the bit tells which attempts are exempt. A client
    that flips the bit names another flow, which does not exist.
    """
    flow_id = bytearray(secrets.token_bytes(_ID_BYTES))
    flow_id[0] = flow_id[0] | _FROM_DEVICE if from_device else flow_id[0] & ~_FROM_DEVICE
    return bytes(flow_id)


def is_from_device(flow_id: bytes) -> bool:
    """Tell whether a known device began the flow."""
    return bool(flow_id[0] & _FROM_DEVICE)


def new_session_key(flow_id: bytes, holder: UUID | None) -> tuple[str, bytes]:
    """Return a session key for the flow, and the digest of its secret half; the secret itself is never stored.

    With a ``holder`` the key works for that user alone: for another user it has another digest, and is refused before
    an attempt is counted.
    """
    secret = secrets.token_bytes(_SECRET_BYTES)
    return base64.urlsafe_b64encode(flow_id + secret).decode(), _digest(secret, holder)


def _digest(secret: bytes, holder: UUID | None) -> bytes:
    return sha256(secret + (holder.bytes if holder else b"")).digest()


def read_session_key(session_key: str, spec: FlowSpec[Data_co]) -> FlowKey[Data_co]:
    """Return the flow and the digest that a session key names; the digest depends on the holder of the spec, if any.

    Raises:
        FlowGone: the key is malformed; a key whose flow is over gets the same answer.
    """
    try:
        raw = base64.b64decode(session_key, altchars=b"-_", validate=True)
    except ValueError as error:
        raise FlowGone from error
    if len(raw) != _ID_BYTES + _SECRET_BYTES:
        raise FlowGone
    return FlowKey(raw[:_ID_BYTES], spec, _digest(raw[_ID_BYTES:], spec.holder))
