"""Whether Valkey answers."""

from __future__ import annotations

from redis_tools.pipeline import Command, Valkey, ignore


class Pulse:
    """Asks Valkey for a sign of life."""

    def __init__(self, valkey: Valkey) -> None:
        self._valkey = valkey

    async def beat(self) -> None:
        """Return when Valkey answers.

        Raises:
            Unavailable: it does not.
        """
        await self._valkey.execute(Command(("ECHO", "alive"), ignore))
