"""Reports whether the servers that the service depends on answer."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from dataclasses import dataclass

from backend.tokens.signing_keys import SigningKeys
from database.engine import Database
from models.errors import Unavailable
from redis_tools.pipeline import Valkey


async def _answers(ping: Awaitable[None]) -> bool:
    try:
        await ping
    except Unavailable:
        return False
    return True


@dataclass(frozen=True, slots=True)
class HealthService:
    """Pings each dependency."""

    database: Database
    valkey: Valkey
    keys: SigningKeys

    async def dependencies(self) -> dict[str, bool]:
        """Return whether each dependency answers, by its name; all are pinged at once."""
        postgresql, valkey = await asyncio.gather(_answers(self.database.ping()), _answers(self.valkey.ping()))
        return {"postgresql": postgresql, "valkey": valkey, "signing key": self._can_sign()}

    def _can_sign(self) -> bool:
        try:
            return self.keys.signing_key is not None
        except Unavailable:
            return False
