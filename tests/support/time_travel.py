"""Lets time pass for a service by moving what it has stored: the service itself has no test clock.

Whatever PostgreSQL dates and Valkey counts down lies that much further in the past afterwards. Only what the ladder,
the limits and the flows live by is moved; used marks, accounts and signing keys are not about time.
"""

from __future__ import annotations

from datetime import timedelta
from typing import cast

from redis import Redis

from tests.support.backstage import Backstage

_MOMENTS = {
    "guess_budgets": ("refilled_at",),
    "guess_reservations": ("settle_at",),
    "outbox": ("due_at", "give_up_at", "created_at"),
}
_FLOW_MOMENTS = (b"mac_until", b"resend_at", b"claim_until")


def let_pass(backstage: Backstage, span: timedelta) -> None:
    """Do to everything stored what that much time would have done; nothing may be under way meanwhile."""
    for table, columns in _MOMENTS.items():
        moved = ", ".join(f"{column} = {column} - $1::interval" for column in columns)
        backstage.rows(f"UPDATE {table} SET {moved}", span)
    milliseconds = round(span.total_seconds() * 1000)
    for key in list(backstage.valkey.scan_iter(count=1000)):
        _age(backstage.valkey, key, milliseconds)


def _age(valkey: Redis, key: bytes, milliseconds: int) -> None:
    life = valkey.pttl(key)
    if key.startswith(b"bucket:"):
        full_at = int(valkey.get(key) or 0) - milliseconds
        valkey.set(key, full_at, keepttl=True)
    elif key.startswith(b"thermostat:"):
        valkey.hset(key, "at", int(valkey.hget(key, "at") or 0) - milliseconds)
        _age_successes(valkey, key, milliseconds)
    elif key.startswith(b"flow:"):
        for field, value in valkey.hgetall(key).items():
            if field in _FLOW_MOMENTS:
                valkey.hset(key, field, int(value) - milliseconds)
    if life > 0:
        valkey.pexpire(key, life - milliseconds)  # a life that is over ends the key


def _age_successes(valkey: Redis, key: bytes, milliseconds: int) -> None:
    days = milliseconds // 86_400_000
    if not days:
        return
    fields = cast("dict[bytes, bytes]", valkey.hgetall(key))
    won = {field: value for field, value in fields.items() if field.startswith(b"won:")}
    for field in won:
        valkey.hdel(key, field)
    for field, value in won.items():
        valkey.hset(key, f"won:{int(field.partition(b':')[2]) - days}", value)
