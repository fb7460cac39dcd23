"""Whether Valkey answers."""

from __future__ import annotations

from redis.asyncio import Redis

from redis_tools.connection import unavailable_when_away


class Pulse:
    """Asks Valkey for a sign of life."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    async def beat(self) -> None:
        """Return when Valkey answers.

        Raises:
            Unavailable: it does not.
        """
        with unavailable_when_away():
            await self._redis.echo("alive")
