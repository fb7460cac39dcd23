"""The thermostat: how many wrong guesses a day it bears, when it rises, and when it falls."""

from __future__ import annotations

import asyncio
import itertools

import pytest
from redis.asyncio import Redis

from redis_tools.exchange import Valkey
from redis_tools.thermostat import Debit, Reading, Thermostat

HOUR = 3600
_numbers = itertools.count(1)


@pytest.fixture
def thermostat() -> Thermostat:
    return Thermostat(f"test-{next(_numbers)}", (4, 6, 8, 12), (20, 50, 80))


async def debit(valkey: Valkey, thermostat: Thermostat, times: int = 1) -> list[Debit]:
    return [await valkey.ask(thermostat.debit()) for _ in range(times)]


async def read(valkey: Valkey, thermostat: Thermostat) -> Reading:
    return await valkey.ask(thermostat.read())


async def let_pass(redis: Redis, thermostat: Thermostat, seconds: int) -> None:
    await redis.hincrby(f"thermostat:{{{thermostat.purpose}}}", "at", -seconds * 1000)


async def test_a_new_one_shows_the_lowest_floor(valkey: Valkey, thermostat: Thermostat) -> None:
    assert await read(valkey, thermostat) == Reading(4, 0, 20, 0, 0, 0)


async def test_twenty_guesses_are_compared_and_the_next_belongs_to_another_epoch(
    valkey: Valkey, thermostat: Thermostat
) -> None:
    first = await debit(valkey, thermostat, 20)
    assert [one.epoch for one in first] == [0] * 20
    assert [one.raised_to for one in first] == [None] * 19 + [6]
    reading = await read(valkey, thermostat)
    assert (reading.digits, reading.epoch, reading.wrong) == (6, 1, 20)
    assert (await debit(valkey, thermostat))[0].epoch == 1


async def test_a_burst_is_counted_one_by_one(valkey: Valkey, thermostat: Thermostat) -> None:
    debits = await asyncio.gather(*(valkey.ask(thermostat.debit()) for _ in range(60)))
    assert sum(one.epoch == 0 for one in debits) == 20
    assert [one.raised_to for one in debits if one.raised_to] == [6]


async def test_every_floor_bears_its_own_number_and_the_last_one_everything(
    valkey: Valkey, thermostat: Thermostat
) -> None:
    debits = await debit(valkey, thermostat, 20 + 50 + 80 + 30)
    assert [one.epoch for one in debits] == [0] * 20 + [1] * 50 + [2] * 80 + [3] * 30
    reading = await read(valkey, thermostat)
    assert (reading.digits, reading.left) == (12, None)


async def test_a_guess_given_back_was_never_made(valkey: Valkey, thermostat: Thermostat) -> None:
    for _ in range(100):
        (one,) = await debit(valkey, thermostat)
        await valkey.ask(thermostat.give_back(1, one.level, won=False))
    assert await read(valkey, thermostat) == Reading(4, 0, 20, 0, 0, 0)


async def test_a_floor_falls_when_the_bucket_below_it_is_half_full_again(
    valkey: Valkey, redis: Redis, thermostat: Thermostat
) -> None:
    await debit(valkey, thermostat, 20)
    await let_pass(redis, thermostat, 11 * HOUR)
    assert (await read(valkey, thermostat)).digits == 6
    await let_pass(redis, thermostat, HOUR + 60)
    reading = await read(valkey, thermostat)
    assert (reading.digits, reading.epoch, reading.left) == (4, 1, 10)
    # The epoch stays: what was mailed meanwhile is long enough. The next rise is a new one all the same.
    assert [one.epoch for one in await debit(valkey, thermostat, 11)] == [1] * 10 + [2]


async def test_floors_fall_one_after_the_other(valkey: Valkey, redis: Redis, thermostat: Thermostat) -> None:
    await debit(valkey, thermostat, 70)
    assert (await read(valkey, thermostat)).digits == 8
    # The lowest bucket is half full by then, and still waits for the one above it.
    await let_pass(redis, thermostat, 11 * HOUR)
    assert (await read(valkey, thermostat)).digits == 8
    await let_pass(redis, thermostat, 2 * HOUR)
    assert (await read(valkey, thermostat)).digits == 4


async def test_a_year_at_full_rate_bears_no_more_than_its_days(
    valkey: Valkey, redis: Redis, thermostat: Thermostat
) -> None:
    compared = 0
    for _ in range(365 * 2):
        level = 1
        while level == 1 and (await read(valkey, thermostat)).digits == 4:
            level = (await debit(valkey, thermostat))[0].level
            compared += level == 1
        await let_pass(redis, thermostat, 12 * HOUR)
    assert 0.9 * 20 * 365 <= compared <= 20 + 20 * 365


async def test_two_hundredths_of_the_weeks_successes_a_day_are_borne(
    valkey: Valkey, redis: Redis, thermostat: Thermostat
) -> None:
    key = f"thermostat:{{{thermostat.purpose}}}"
    today = (await redis.time())[0] // 86_400
    await redis.hset(key, mapping={f"won:{today - back}": 5000 for back in range(1, 8)})
    reading = await read(valkey, thermostat)
    assert (reading.left, reading.won_a_day) == (100, 5000)
    # Successes of today are no mean of a week yet: nobody buys himself room within an hour.
    await redis.hset(key, f"won:{today}", 1_000_000)
    assert (await read(valkey, thermostat)).left == 100


async def test_a_success_gives_back_its_guesses_and_is_counted(valkey: Valkey, thermostat: Thermostat) -> None:
    debits = await debit(valkey, thermostat, 3)
    await valkey.ask(thermostat.give_back(3, debits[-1].level, won=True))
    reading = await read(valkey, thermostat)
    assert (reading.left, reading.wrong, reading.won) == (20, 0, 1)


async def test_a_longer_lowest_floor_has_one_cap_less(valkey: Valkey) -> None:
    strict = Thermostat(f"test-{next(_numbers)}", (6, 8, 12), (2, 3))
    assert [one.epoch for one in await debit(valkey, strict, 6)] == [0, 0, 1, 1, 1, 2]
    with pytest.raises(ValueError, match="every floor but the last"):
        Thermostat("test", (4, 6), (1, 2))


async def test_it_is_kept_while_its_week_counts_and_then_forgotten(
    valkey: Valkey, redis: Redis, thermostat: Thermostat
) -> None:
    await debit(valkey, thermostat)
    assert 14 * 86_400 < await redis.ttl(f"thermostat:{{{thermostat.purpose}}}") <= 15 * 86_400
