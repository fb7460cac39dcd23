"""Tells Valkey being away, or too slow, from a mistake of ours."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from redis.exceptions import (
    BusyLoadingError,
    ClusterDownError,
    MasterDownError,
    OutOfMemoryError,
    ReadOnlyError,
    ResponseError,
    TryAgainError,
)
from redis.exceptions import (
    ConnectionError as RedisConnectionError,
)
from redis.exceptions import (
    TimeoutError as RedisTimeout,
)

from models.errors import Unavailable

_AWAY = (
    RedisConnectionError,
    RedisTimeout,
    BusyLoadingError,
    ReadOnlyError,
    MasterDownError,
    ClusterDownError,
    TryAgainError,
    OutOfMemoryError,
    OSError,
)

# A disk that cannot be written to stops writes with MISCONF, and somebody's endless script everything with BUSY: the
# client has no classes of its own for them.
_AWAY_ANSWERS = ("MISCONF", "BUSY", "OOM", "READONLY", "LOADING", "MASTERDOWN", "CLUSTERDOWN", "NOREPLICAS")


@contextmanager
def unavailable_when_away() -> Iterator[None]:
    """Raise `Unavailable` in place of whatever says that Valkey cannot answer now; let mistakes pass as they are."""
    try:
        yield
    except _AWAY as error:
        raise Unavailable from error
    except ResponseError as error:
        if any(word in str(error) for word in _AWAY_ANSWERS):
            raise Unavailable from error
        raise
