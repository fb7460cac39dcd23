"""What a service knows of a remote issuer's keys, and how time is let pass for it."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from jwt_tools.errors import KeysUnavailable
from jwt_tools.keys import SigningKey
from jwt_tools.remote import RemoteKeys

STRANGER = SigningKey.generate()
"""Its key is in no list."""


def let_pass(keys: RemoteKeys, seconds: float) -> None:
    """Date everything that much further back; there is no test clock."""
    keys._discovered_until -= seconds
    keys._retry_at -= seconds
    keys._next_search -= seconds
    if keys._published is not None:
        fresh, useful = keys._published.fresh_until - seconds, keys._published.usable_until - seconds
        keys._published = replace(keys._published, fresh_until=fresh, usable_until=useful)


async def has_landed(keys: RemoteKeys) -> None:
    """Wait for what goes on in the background, if anything does."""
    if keys._reading is not None:
        await asyncio.wait([keys._reading])


async def knows(keys: RemoteKeys, key: SigningKey) -> bool:
    found = await keys.find_key(key.kid)
    assert found is None or found.public_key == key.verifying.public_key
    return found is not None


async def refuses(keys: RemoteKeys, kid: str = STRANGER.kid) -> None:
    with pytest.raises(KeysUnavailable):
        await keys.find_key(kid)
