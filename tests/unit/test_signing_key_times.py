"""When keys come and go, case by case; how processes see it is tested over HTTP."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from backend.tokens.signing_keys import expired_keys, needs_next_key
from database.signing_keys import StoredKey
from models.settings.rules import KeySettings

DAY, MINUTE = timedelta(days=1), timedelta(minutes=1)
# Each key is published six minutes before it signs: max_age and twice refresh_interval.
SETTINGS = KeySettings(algorithm="ES256", life=30 * 86_400, max_age=300, refresh_interval=30)


def ring(*signs_for: timedelta, algorithm: str = "ES256") -> list[StoredKey]:
    """Keys that have signed for so long, the newest first."""
    return [StoredKey(f"key-{place}", algorithm, {}, b"", so_long) for place, so_long in enumerate(signs_for)]


@pytest.mark.parametrize(
    ("stored", "wanted"),
    [
        (ring(), True),
        (ring(timedelta()), False),
        (ring(29 * DAY), False),
        (ring(30 * DAY - 7 * MINUTE), False),
        # So early that the next one has been published long enough when this one ends.
        (ring(30 * DAY - 6 * MINUTE), True),
        (ring(90 * DAY), True),
        # The next one is published already.
        (ring(-5 * MINUTE, 30 * DAY - 1 * MINUTE), False),
        (ring(timedelta(), 30 * DAY), False),
        # Another algorithm is wanted.
        (ring(DAY, algorithm="RS256"), True),
        # Not before the newest one signs: two settings at once would make a key at every reading.
        (ring(-MINUTE, DAY, algorithm="RS256"), False),
    ],
)
def test_the_next_key_is_published_in_time_and_only_once(stored: list[StoredKey], *, wanted: bool) -> None:
    assert needs_next_key(stored, SETTINGS) is wanted


@pytest.mark.parametrize(
    ("stored", "withdrawn"),
    [
        (ring(timedelta()), []),
        (ring(400 * DAY), []),
        # Superseded a moment ago, an hour ago, and for longer than any token of it can live.
        (ring(MINUTE, 30 * DAY), []),
        (ring(65 * MINUTE, 30 * DAY), []),
        (ring(67 * MINUTE, 30 * DAY), ["key-1"]),
        (ring(MINUTE, 30 * DAY, 60 * DAY), ["key-2"]),
        # The one that waits supersedes nobody yet.
        (ring(-MINUTE, 30 * DAY, 60 * DAY), ["key-2"]),
    ],
)
def test_a_key_is_published_until_its_last_token_has_expired(stored: list[StoredKey], withdrawn: list[str]) -> None:
    assert expired_keys(stored, SETTINGS) == withdrawn


def test_there_is_always_a_key_that_signs() -> None:
    """A year, looked at every half minute by whoever comes: some key has signed, and one supersedes the other."""
    stored = ring(timedelta())
    made = 0
    for _ in range(365 * 24 * 12):
        stored = [replace(key, signs_for=key.signs_for + 5 * MINUTE) for key in stored]
        if needs_next_key(stored, SETTINGS):
            made += 1
            stored = [StoredKey(f"made-{made}", "ES256", {}, b"", -6 * MINUTE), *stored]
        stored = [key for key in stored if key.kid not in expired_keys(stored, SETTINGS)]
        assert any(key.signs_for >= timedelta() for key in stored)
        assert len(stored) <= 2
    assert made == 12
