"""Lets time pass for a service by moving what it has stored: the service itself has no test clock.

Whatever PostgreSQL dates and Valkey counts down lies that much further in the past afterwards. Only what the ladder,
the limits and the flows live by is moved; used marks, accounts and signing keys are not about time.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from datetime import timedelta
from typing import Any

from redis.client import Pipeline

from tests.support.state.database_inspector import DatabaseInspector

_MOMENTS = {"guess_budgets": ("refilled_at",), "guess_reservations": ("settle_at",)}
_FLOW_MOMENTS = (b"mac_until", b"resend_at", b"claim_until")

_DAY = 86_400_000
_TRAVELLED = b"time-travel:ms"
"""How far all that Valkey holds was moved so far: days begin where the clock and this together say that they do."""


def let_pass(db: DatabaseInspector, span: timedelta) -> None:
    """Do to everything stored what that much time would have done; nothing may be under way meanwhile.

    Mail has left by then: whatever still waited would have waited that long, and no more would be accepted.
    """
    db.wait_until_all_mail_has_left()
    for table, columns in _MOMENTS.items():
        moved = ", ".join(f"{column} = {column} - $1::interval" for column in columns)
        db.rows(f"UPDATE {table} SET {moved}", span)
    milliseconds = round(span.total_seconds() * 1000)
    valkey = db.valkey
    travelled = int(valkey.incrby(_TRAVELLED, milliseconds))
    today = time.time_ns() // 1_000_000 + travelled
    midnights = today // _DAY - (today - milliseconds) // _DAY
    keys = [key for key in valkey.scan_iter(count=1000) if key != _TRAVELLED]
    lives, contents = _read(db, keys)
    with valkey.pipeline(transaction=False) as pipeline:
        for key, life, content in zip(keys, lives, contents, strict=True):
            if key.startswith(b"bucket:") and content is not None:
                pipeline.set(key, int(content) - milliseconds, keepttl=True)
            elif key.endswith(b":held"):
                for guess, _ in content:
                    pipeline.zincrby(key, -milliseconds, guess)
            elif key.startswith(b"thermostat:"):
                _age_thermostat(pipeline, key, content, milliseconds, midnights)
            elif key.startswith(b"flow:"):
                moments = {field: int(content[field]) - milliseconds for field in _FLOW_MOMENTS if field in content}
                if moments:
                    pipeline.hset(key, mapping=moments)  # type: ignore[arg-type] # the library's gap
            if life > 0:
                pipeline.pexpire(key, life - milliseconds)  # a life that is over ends the key
        pipeline.execute()


def _read(db: DatabaseInspector, keys: Iterable[bytes]) -> tuple[list[int], list[Any]]:
    """The life of every key, and what it holds if it holds moments."""
    with db.valkey.pipeline(transaction=False) as pipeline:
        for key in keys:
            pipeline.pttl(key)
            if key.endswith(b":held"):
                pipeline.zrange(key, 0, -1, withscores=True)
            elif key.startswith((b"thermostat:", b"flow:")):
                pipeline.hgetall(key)
            elif key.startswith(b"bucket:"):
                pipeline.get(key)
            else:
                pipeline.exists(key)
        answers = pipeline.execute()
    return answers[::2], answers[1::2]


def _age_thermostat(
    pipeline: Pipeline, key: bytes, fields: Mapping[bytes, bytes], milliseconds: int, midnights: int
) -> None:
    if b"at" in fields:
        pipeline.hset(key, "at", int(fields[b"at"]) - milliseconds)
    won = {field: value for field, value in fields.items() if field.startswith(b"won:")}
    if won and midnights:
        pipeline.hdel(key, *won)
        for field, value in won.items():
            pipeline.hset(key, f"won:{int(field.partition(b':')[2]) - midnights}", value)
