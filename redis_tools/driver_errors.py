"""Distinguishes an unavailable Valkey from a programming error."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from redis.exceptions import ClusterDownError, OutOfMemoryError, ReadOnlyError, ResponseError, TryAgainError
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeout

from models.errors import Unavailable

# A server that loads its data counts as a lost connection, and a replica without its primary as a cluster that is down.
_AWAY = (
    *(OSError, RedisConnectionError, RedisTimeout),
    *(ClusterDownError, OutOfMemoryError, ReadOnlyError, TryAgainError),
)

# A full disk stops writes with MISCONF, and an endless script stops everything with BUSY: the client has no exception
# classes for these answers.
_AWAY_ANSWERS = ("MISCONF", "BUSY", "OOM", "READONLY", "LOADING", "MASTERDOWN", "CLUSTERDOWN", "NOREPLICAS")


@contextmanager
def unavailable_when_away() -> Iterator[None]:
    """Replace errors that mean "Valkey cannot answer now" by `Unavailable`; let programming errors pass."""
    try:
        yield
    except _AWAY as error:
        raise Unavailable from error
    except ResponseError as error:
        if any(word in str(error) for word in _AWAY_ANSWERS):
            raise Unavailable from error
        raise
