"""What PostgreSQL knows of a signed-in user, kept near: one entry a user, one GET a request.

PostgreSQL holds the truth. Whoever is about to change it puts a tombstone in the entry's place before his commit and
takes it away after; until then everybody reads PostgreSQL and keeps nothing. Whoever finds no entry takes a lease,
reads, and fills the place only if the lease is still there: a change that came in between has taken it away, or has put
its tombstone there, so that what was read before a change is never kept after it. Who finds an entry that does not know
his session reads as well, and replaces that entry alone, or leaves it. Neither order, nor the loss of everything that
Valkey holds, makes an ended session live again.

What a role allows is part of many entries at once. Each of them names the edition of the roles that it was read under,
and is believed under that edition alone. Whoever changes a role puts a tombstone in the edition's place and takes it
away after; whoever finds none there writes a new one, which no entry names yet.
"""

from __future__ import annotations

import secrets
from typing import Any

from redis_tools.pipeline import Command, Script, ignore

ENTRY_MS = 60_000
"""How long an entry is believed. Nothing hangs on it but the one case that no order can mend: a failover of Valkey
that forgets a tombstone, and a process that dies before it has taken the entry away."""

_TOMBSTONE_MS = 10_000
"""Longer than any transaction may take (design.md, section 6)."""

_LEASE_MS = 10_000

_LEASE = b"lease:"
_CHANGING = b"changing:"

# KEYS: place. ARGV: what was found there ('' for nothing), what to put there, life in ms.
_REPLACE = Script(
    """
if (redis.call('GET', KEYS[1]) or '') ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
return 1
"""
)

# KEYS: place. ARGV: name of the change, life in ms. Of several changes at once each has its name in the tombstone.
_ANNOUNCE = Script(
    """
local found = redis.call('GET', KEYS[1]) or ''
local names = string.sub(found, 1, 9) == 'changing:' and found .. ',' or 'changing:'
redis.call('SET', KEYS[1], names .. ARGV[1], 'PX', ARGV[2])
"""
)

# KEYS: place. ARGV: name of the change. What was read before it goes; the tombstone stays while others stand in it.
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


ROLES = "roles"
"""The place of the edition."""


def user_place(user_id: str) -> str:
    """The place of a user's entry."""
    return f"user:{{{user_id}}}"


def _bytes(answer: Any) -> bytes:
    return answer or b""


def look(place: str) -> Command[bytes]:
    """What stands in a place: an entry or an edition, or what `is_entry` says is none."""
    return Command(("GET", place), _bytes)


def begin_edition(edition: str) -> Command[bytes]:
    """Write a new edition of the roles where none stands; what stands there then."""
    return Command(("SET", ROLES, edition, "NX", "GET"), lambda answer: answer or edition.encode())


def is_entry(found: bytes) -> bool:
    """Whether it says something of the user."""
    return bool(found) and may_be_leased(found)


def new_lease() -> bytes:
    """A lease of one's own."""
    return _LEASE + secrets.token_hex(8).encode()


def may_be_leased(found: bytes) -> bool:
    """Whether nobody is about to fill the place, or to change the user."""
    return not found.startswith((_CHANGING, _LEASE))


def take_lease(place: str, found: bytes, lease: bytes) -> Command[bool]:
    """Announce that the place is about to be filled; False when it is not as it was found any more."""
    return Command.of(_REPLACE, [place], [found, lease, _LEASE_MS], bool)


def fill(place: str, found: bytes, entry: bytes) -> Command[bool]:
    """Put an entry where the own lease, or the older entry that was found, still is.

    No two entries are alike: one that is there has been there all the while, and nothing was changed meanwhile.
    """
    return Command.of(_REPLACE, [place], [found, entry, ENTRY_MS], bool)


def new_change() -> str:
    """A name for a change."""
    return secrets.token_hex(8)


def announce_change(place: str, change: str) -> Command[None]:
    """From now on PostgreSQL is read; before the commit of whatever changes a user or a role, or ends a session."""
    return Command.of(_ANNOUNCE, [place], [change, _TOMBSTONE_MS], ignore)


def forget(place: str, change: str) -> Command[None]:
    """The change is committed; what was read before it is gone, and leases with it."""
    return Command.of(_FORGET, [place], [change], ignore)
