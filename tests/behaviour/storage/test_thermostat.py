"""The thermostat: how many wrong guesses a day it bears, when it rises, and when it falls."""

from __future__ import annotations

import asyncio
import itertools

import pytest
from redis.asyncio import Redis

from redis_tools.pipeline import Valkey
from redis_tools.thermostat import Reservation, Thermostat, ThermostatState

HOUR = 3600
_numbers = itertools.count(1)


@pytest.fixture
def thermostat() -> Thermostat:
    return Thermostat(f"test-{next(_numbers)}", (4, 6, 8, 12), (20, 50, 80))


async def hold(valkey: Valkey, thermostat: Thermostat) -> Reservation:
    """Let one guess be compared, when there is room for it."""
    held = await valkey.execute(thermostat.reserve())
    assert held is not None
    return held


async def guess_wrong(valkey: Valkey, thermostat: Thermostat, times: int = 1) -> list[tuple[int, int | None]]:
    """Guess wrong, one after the other: the epoch of each guess, and the floor that it raised."""
    made = []
    for _ in range(times):
        held = await hold(valkey, thermostat)
        made.append((held.epoch, await valkey.execute(held.failed())))
    return made


async def epochs(valkey: Valkey, thermostat: Thermostat, times: int) -> list[int]:
    return [epoch for epoch, _ in await guess_wrong(valkey, thermostat, times)]


async def read(valkey: Valkey, thermostat: Thermostat) -> ThermostatState:
    return await valkey.execute(thermostat.get_state())


async def let_pass(redis: Redis, thermostat: Thermostat, seconds: int) -> None:
    await redis.hincrby(f"thermostat:{{{thermostat.purpose}}}", "at", -seconds * 1000)


async def test_a_new_one_shows_the_lowest_floor(valkey: Valkey, thermostat: Thermostat) -> None:
    assert await read(valkey, thermostat) == ThermostatState(4, 0, 20, 0, 0, 0)


async def test_twenty_guesses_are_compared_and_the_next_belongs_to_another_epoch(
    valkey: Valkey, thermostat: Thermostat
) -> None:
    assert await guess_wrong(valkey, thermostat, 20) == [(0, None)] * 19 + [(0, 6)]
    reading = await read(valkey, thermostat)
    assert (reading.digits, reading.epoch, reading.wrong) == (6, 1, 20)
    assert await epochs(valkey, thermostat, 1) == [1]


async def test_of_a_burst_twenty_are_compared_and_the_rest_wait_for_their_result(
    valkey: Valkey, thermostat: Thermostat
) -> None:
    holds = await asyncio.gather(*(valkey.execute(thermostat.reserve()) for _ in range(60)))
    under_way = [one for one in holds if one]
    assert [one.epoch for one in under_way] == [0] * 20
    raises = [await valkey.execute(one.failed()) for one in under_way]
    assert raises == [None] * 19 + [6]
    assert (await hold(valkey, thermostat)).epoch == 1


async def test_a_burst_of_cancelled_guesses_raises_nothing(valkey: Valkey, thermostat: Thermostat) -> None:
    for _ in range(5):
        holds = await asyncio.gather(*(valkey.execute(thermostat.reserve()) for _ in range(60)))
        await asyncio.gather(*(valkey.execute(one.cancel()) for one in holds if one))
    assert await read(valkey, thermostat) == ThermostatState(4, 0, 20, 0, 0, 0)


async def test_a_guess_that_is_never_settled_counts_as_wrong_once(
    valkey: Valkey, redis: Redis, thermostat: Thermostat
) -> None:
    late = [await hold(valkey, thermostat) for _ in range(3)]
    names = f"thermostat:{{{thermostat.purpose}}}:held"
    for one in late:
        await redis.zadd(names, {one.name: 1})  # its time is over
    assert [(await read(valkey, thermostat)).left for _ in range(2)] == [17, 17]
    assert (await guess_wrong(valkey, thermostat))[0] == (0, None)
    assert (await read(valkey, thermostat)).left == 16
    await valkey.execute(late[0].failed())
    assert (await read(valkey, thermostat)).left == 16
    # It was right, but its reservation had run out before.
    await valkey.execute(late[1].cancel())
    await valkey.execute(late[2].succeeded(1))
    reading = await read(valkey, thermostat)
    assert (reading.left, reading.wrong, reading.won) == (19, 1, 1)


async def test_guesses_that_are_never_settled_raise_the_floor_too(
    valkey: Valkey, redis: Redis, thermostat: Thermostat
) -> None:
    names = f"thermostat:{{{thermostat.purpose}}}:held"
    lost = [await hold(valkey, thermostat) for _ in range(20)]
    assert await valkey.execute(thermostat.reserve()) is None
    assert await redis.ttl(names) > 86_400, "their time must end before they are forgotten"
    await redis.zadd(names, {one.name: 1 for one in lost})
    assert ((await read(valkey, thermostat)).digits, (await hold(valkey, thermostat)).epoch) == (6, 1)


async def test_every_floor_bears_its_own_number_and_the_last_one_everything(
    valkey: Valkey, thermostat: Thermostat
) -> None:
    assert await epochs(valkey, thermostat, 180) == [0] * 20 + [1] * 50 + [2] * 80 + [3] * 30
    reading = await read(valkey, thermostat)
    assert (reading.digits, reading.left, reading.wrong) == (12, None, 180)


async def test_a_floor_falls_when_the_bucket_below_it_is_half_full_again(
    valkey: Valkey, redis: Redis, thermostat: Thermostat
) -> None:
    await guess_wrong(valkey, thermostat, 20)
    await let_pass(redis, thermostat, 11 * HOUR)
    assert (await read(valkey, thermostat)).digits == 6
    await let_pass(redis, thermostat, HOUR + 60)
    reading = await read(valkey, thermostat)
    assert (reading.digits, reading.epoch, reading.left) == (4, 1, 10)
    # The epoch stays: what was mailed meanwhile is long enough. The next rise is a new one all the same.
    assert await epochs(valkey, thermostat, 11) == [1] * 10 + [2]


async def test_floors_fall_one_after_the_other(valkey: Valkey, redis: Redis, thermostat: Thermostat) -> None:
    await guess_wrong(valkey, thermostat, 70)
    assert (await read(valkey, thermostat)).digits == 8
    await let_pass(redis, thermostat, 11 * HOUR)
    assert (await read(valkey, thermostat)).digits == 8
    await let_pass(redis, thermostat, 2 * HOUR)
    assert (await read(valkey, thermostat)).digits == 4


async def test_guessing_at_full_rate_for_long_is_borne_no_more_than_so_often_a_day(
    valkey: Valkey, redis: Redis, thermostat: Thermostat, *, full_counts: bool
) -> None:
    days, compared = 365 if full_counts else 30, 0
    for _ in range(days * 2):
        while (await read(valkey, thermostat)).digits == 4:
            await guess_wrong(valkey, thermostat)
            compared += 1
        await let_pass(redis, thermostat, 12 * HOUR)
    assert 0.9 * 20 * days <= compared <= 20 + 20 * days


async def test_two_hundredths_of_the_weeks_successes_a_day_are_borne(
    valkey: Valkey, redis: Redis, thermostat: Thermostat
) -> None:
    key = f"thermostat:{{{thermostat.purpose}}}"
    today = (await redis.time())[0] // 86_400
    await redis.hset(key, mapping={f"won:{today - back}": 5000 for back in range(1, 8)})
    reading = await read(valkey, thermostat)
    assert (reading.left, reading.won_a_day) == (100, 5000)
    # Successes of today are no mean of a week yet: an attacker cannot buy guesses within an hour.
    await redis.hset(key, f"won:{today}", 1_000_000)
    assert (await read(valkey, thermostat)).left == 100


async def test_a_success_explains_the_wrong_guesses_of_its_flow_and_is_counted(
    valkey: Valkey, thermostat: Thermostat
) -> None:
    await guess_wrong(valkey, thermostat, 2)
    await valkey.execute((await hold(valkey, thermostat)).succeeded(2))
    reading = await read(valkey, thermostat)
    assert (reading.left, reading.wrong, reading.won) == (20, 0, 1)


async def test_a_longer_lowest_floor_has_one_cap_less(valkey: Valkey) -> None:
    strict = Thermostat(f"test-{next(_numbers)}", (6, 8, 12), (2, 3))
    assert await epochs(valkey, strict, 6) == [0, 0, 1, 1, 1, 2]
    with pytest.raises(ValueError, match="every floor but the last"):
        Thermostat("test", (4, 6), (1, 2))


async def test_it_is_kept_while_its_week_counts_and_then_expires(
    valkey: Valkey, redis: Redis, thermostat: Thermostat
) -> None:
    await guess_wrong(valkey, thermostat)
    assert 14 * 86_400 < await redis.ttl(f"thermostat:{{{thermostat.purpose}}}") <= 15 * 86_400
