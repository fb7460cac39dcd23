"""Behind the counter of a service: what its servers hold, and whether every mail has left."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import asyncpg
from redis import Redis

from tests.support.service.process import Service

Memory = dict[bytes, tuple[int, bytes]]


class DatabaseInspector:
    """Looks into PostgreSQL and Valkey while the service runs; for one thread, outside any event loop."""

    def __init__(self, service: Service) -> None:
        self._runner = asyncio.Runner()
        self._connection = self._runner.run(asyncpg.connect(service.database_url))
        self.valkey: Redis = Redis.from_url(service.redis_url)

    def close(self) -> None:
        self._runner.run(self._connection.close())
        self._runner.close()
        self.valkey.close()

    def rows(self, query: str, *values: object) -> list[Any]:
        return list(self._runner.run(self._connection.fetch(query, *values)))

    def value(self, query: str, *values: object) -> Any:
        """The first column of the first row."""
        return self._runner.run(self._connection.fetchval(query, *values))

    def wait_until_all_mail_has_left(self, seconds: float = 15) -> None:
        """Return when no job waits: what was to be mailed is then in the mailbox, and what was not never will be."""
        deadline = time.monotonic() + seconds
        while waiting := self.value("SELECT count(*) FROM outbox WHERE failed_at IS NULL"):
            if time.monotonic() > deadline:
                raise TimeoutError(f"{waiting} mails have not left after {seconds:g} s")
            time.sleep(0.01)

    def remember_valkey(self) -> Memory:
        """Every key with its life and what it holds, to be brought back by `restore_valkey`."""
        memory = {key: (self.valkey.pttl(key), self.valkey.dump(key)) for key in self.valkey.scan_iter()}
        return {key: (life, dump) for key, (life, dump) in memory.items() if dump is not None and life != 0}

    def restore_valkey(self, memory: Memory) -> None:
        """Make Valkey believe what it believed then, as a failover to a replica that lags behind does."""
        self.valkey.flushdb()
        for key, (life, dump) in memory.items():
            # The service may have counted something meanwhile.
            self.valkey.restore(key, max(life, 0), dump, replace=True)


@contextmanager
def inspect_database(service: Service) -> Iterator[DatabaseInspector]:
    """Look behind the counter for a while."""
    db = DatabaseInspector(service)
    try:
        yield db
    finally:
        db.close()
