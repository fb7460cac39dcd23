"""What PostgreSQL knows of a signed-in user, kept near: one entry a user, one GET a request.

PostgreSQL holds the truth. Whoever is about to change it puts a tombstone in the entry's place before his commit and
takes it away after; until then everybody reads PostgreSQL and keeps nothing. Whoever finds no entry takes a lease,
reads, and fills the place only if the lease is still there: a change that came in between has taken it away, or has put
its tombstone there, so that what was read before a change is never kept after it. Who finds an entry that does not know
his session reads as well, and replaces that entry alone, or leaves it. Neither order, nor the loss of everything that
Valkey holds, makes an ended session live again.
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
_CHANGING = b"changing:"

# KEYS: user. ARGV: what was found there ('' for nothing), what to put there, life in ms.
_REPLACE = Script(
    """
if (redis.call('GET', KEYS[1]) or '') ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
return 1
"""
)

# KEYS: user. ARGV: name of the change, life in ms. Of several changes at once each has its name in the tombstone.
_ANNOUNCE = Script(
    """
local found = redis.call('GET', KEYS[1]) or ''
local names = string.sub(found, 1, 9) == 'changing:' and found .. ',' or 'changing:'
redis.call('SET', KEYS[1], names .. ARGV[1], 'PX', ARGV[2])
"""
)

# KEYS: user. ARGV: name of the change. What was read before it goes; the tombstone stays while others stand in it.
_FORGET = Script(
    """
local found = redis.call('GET', KEYS[1]) or ''
local others = {}
if string.sub(found, 1, 9) == 'changing:' then
  for name in string.gmatch(string.sub(found, 10), '[^,]+') do
    if name ~= ARGV[1] then table.insert(others, name) end
  end
end
if #others > 0 then
  redis.call('SET', KEYS[1], 'changing:' .. table.concat(others, ','), 'KEEPTTL')
else
  redis.call('DEL', KEYS[1])
end
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
    return bool(found) and may_be_leased(found)


def new_lease() -> bytes:
    """A lease of one's own."""
    return _LEASE + secrets.token_hex(8).encode()


def may_be_leased(found: bytes) -> bool:
    """Whether nobody is about to fill the place, or to change the user."""
    return not found.startswith((_CHANGING, _LEASE))


def take_lease(user_id: str, found: bytes, lease: bytes) -> Call[bool]:
    """Announce that the place is about to be filled; False when it is not as it was found any more."""
    return Call.of(_REPLACE, [_key(user_id)], [found, lease, _LEASE_MS], bool)


def fill(user_id: str, found: bytes, entry: bytes) -> Call[bool]:
    """Put an entry where the own lease, or the older entry that was found, still is.

    No two entries are alike: one that is there has been there all the while, and nothing was changed meanwhile.
    """
    return Call.of(_REPLACE, [_key(user_id)], [found, entry, ENTRY_MS], bool)


def new_change() -> str:
    """A name for a change."""
    return secrets.token_hex(8)


def announce_change(user_id: str, change: str) -> Call[None]:
    """From now on PostgreSQL is read; before the commit of whatever changes the user or ends a session."""
    return Call.of(_ANNOUNCE, [_key(user_id)], [change, _TOMBSTONE_MS], nothing)


def forget(user_id: str, change: str) -> Call[None]:
    """The change is committed; what was read before it is gone, and leases with it."""
    return Call.of(_FORGET, [_key(user_id)], [change], nothing)
