"""What PostgreSQL knows of a signed-in user, kept near: one entry a user, one GET a request.

PostgreSQL holds the truth. Whoever is about to change it puts a tombstone in the entry's place before his commit and
takes it away after; until then everybody reads PostgreSQL and keeps nothing. Whoever finds no entry takes a lease,
reads, and fills the entry only if the lease is still his: a change that came in between has taken it away, or has put
its tombstone there, so that what was read before a change is never kept after it. Neither order, nor the loss of
everything that Valkey holds, makes an ended session live again.
"""

from __future__ import annotations

import secrets
from typing import Any

from redis_tools.exchange import Call, Script, nothing

ENTRY_MS = 60_000
"""How long an entry is believed. Nothing hangs on it but the one case that no order can mend: a failover of Valkey
that forgets a tombstone, and a process that dies before it has taken the entry away."""

_TOMBSTONE_MS = 10_000
"""Longer than any transaction may take (design.md, section 6)."""

_LEASE_MS = 10_000

_LEASE = b"lease:"
_TOMBSTONE = b"changing"

# KEYS: user. ARGV: what was found there ('' for nothing), what to put there, life in ms.
_REPLACE = Script(
    """
if (redis.call('GET', KEYS[1]) or '') ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
return 1
"""
)


def _key(user_id: str) -> str:
    return f"user:{{{user_id}}}"


def _bytes(answer: Any) -> bytes:
    return answer or b""


def look(user_id: str) -> Call[bytes]:
    """What stands in the user's place: an entry, or what `is_entry` says is none."""
    return Call(("GET", _key(user_id)), _bytes)


def is_entry(found: bytes) -> bool:
    """Whether it says something of the user."""
    return bool(found) and found != _TOMBSTONE and not found.startswith(_LEASE)


def may_be_filled(found: bytes) -> bool:
    """Whether whoever found it may take a lease: nobody else is about to fill the place, or to change the user."""
    return not found or is_entry(found)


def new_lease() -> bytes:
    """A lease of one's own."""
    return _LEASE + secrets.token_hex(8).encode()


def take_lease(user_id: str, found: bytes, lease: bytes) -> Call[bool]:
    """Announce that the place is about to be filled; False when somebody was quicker."""
    return Call.of(_REPLACE, [_key(user_id)], [found, lease, _LEASE_MS], bool)


def fill(user_id: str, lease: bytes, entry: bytes) -> Call[bool]:
    """Put an entry where the lease still is."""
    return Call.of(_REPLACE, [_key(user_id)], [lease, entry, ENTRY_MS], bool)


def announce_change(user_id: str) -> Call[None]:
    """From now on PostgreSQL is read; before the commit of whatever changes the user or ends a session."""
    return Call(("SET", _key(user_id), _TOMBSTONE, "PX", _TOMBSTONE_MS), nothing)


def forget(user_id: str) -> Call[None]:
    """The change is committed; what was read before it is gone, and leases with it."""
    return Call(("DEL", _key(user_id)), nothing)
