"""Buckets are exact: a burst, the refill in time, and refunds."""

from __future__ import annotations

import asyncio

import pytest
from redis.asyncio import Redis

from models.values.rate import Rate
from redis_tools.pipeline import Valkey
from redis_tools.token_bucket import Bucket

HOURLY = Rate(5, 5 * 3600)
"""Five at once, then one an hour: no test lasts so long that one comes back by itself."""


async def take(valkey: Valkey, bucket: Bucket) -> tuple[bool, int]:
    taken = await valkey.execute(bucket.consume())
    return taken.allowed, taken.left


async def let_pass(redis: Redis, bucket: Bucket, seconds: float) -> None:
    """Move the moment at which the bucket is full."""
    key = bucket._key
    await redis.set(key, int(await redis.get(key) or 0) - int(seconds * 1000), keepttl=True)


async def test_a_burst_is_allowed_one_by_one_and_then_nothing(valkey: Valkey, name: str) -> None:
    bucket = Bucket(name, HOURLY)
    assert [await take(valkey, bucket) for _ in range(7)] == [
        *((True, left) for left in (4, 3, 2, 1, 0)),
        (False, 0),
        (False, 0),
    ]


async def test_hundreds_at_one_moment_get_exactly_the_burst(valkey: Valkey, name: str) -> None:
    bucket = Bucket(name, Rate(20, 86_400))
    taken = await asyncio.gather(*(valkey.execute(bucket.consume()) for _ in range(300)))
    assert sum(one.allowed for one in taken) == 20


async def test_a_refusal_says_when_to_come_back_and_takes_nothing(valkey: Valkey, redis: Redis, name: str) -> None:
    bucket = Bucket(name, HOURLY)
    for _ in range(5):
        await take(valkey, bucket)
    refused = [await valkey.execute(bucket.consume()) for _ in range(10)]
    assert all(3590 < one.retry_after <= 3600 for one in refused)
    await let_pass(redis, bucket, 3600)
    assert await take(valkey, bucket) == (True, 0)
    assert await take(valkey, bucket) == (False, 0)


async def test_refunded_tokens_can_be_consumed_again_and_no_more(valkey: Valkey, name: str) -> None:
    bucket = Bucket(name, HOURLY)
    for _ in range(5):
        await take(valkey, bucket)
    await valkey.execute(bucket.refund(2))
    assert [(await take(valkey, bucket))[0] for _ in range(3)] == [True, True, False]


async def test_a_refund_leaves_a_full_bucket_full(valkey: Valkey, name: str) -> None:
    bucket = Bucket(name, HOURLY)
    await take(valkey, bucket)
    await valkey.execute(bucket.refund(100))
    assert [(await take(valkey, bucket))[0] for _ in range(6)] == [True] * 5 + [False]


async def test_a_bucket_that_is_full_leaves_no_key(valkey: Valkey, redis: Redis, name: str) -> None:
    bucket = Bucket(name, HOURLY)
    await take(valkey, bucket)
    assert 3590 < await redis.ttl(bucket._key) <= 3600
    await valkey.execute(bucket.refund())
    assert not await redis.exists(bucket._key)


async def test_two_rates_of_one_name_are_two_buckets(valkey: Valkey, name: str) -> None:
    short, long = Bucket(name, Rate(1, 60)), Bucket(name, Rate(2, 3600))
    answers = await valkey.pipeline(short.consume(), long.consume(), short.consume(), long.consume())
    assert [one.allowed for one in answers] == [True, True, False, True]


async def test_scripts_that_valkey_has_forgotten_run_once_all_the_same(valkey: Valkey, redis: Redis, name: str) -> None:
    bucket = Bucket(name, HOURLY)
    await redis.script_flush()
    assert [one.left for one in await valkey.pipeline(bucket.consume(), bucket.consume(), bucket.consume())] == [
        4,
        3,
        2,
    ]
    await redis.script_flush()
    assert await take(valkey, bucket) == (True, 1)


@pytest.mark.parametrize("text", ["", "20", "20/", "/60", "0/60", "20/0", "-1/60", "1.5/60", "20/60/3", "a/b"])
def test_a_rate_is_written_as_count_and_seconds(text: str) -> None:
    with pytest.raises(ValueError, match="count/seconds"):
        Rate.parse(text)
    assert Rate.parse(" 20/60 ") == Rate(20, 60)
