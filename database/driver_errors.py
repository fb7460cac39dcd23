"""Distinguishes an unavailable PostgreSQL from a programming error."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from asyncpg import InterfaceError as DriverInterfaceError
from asyncpg import InternalClientError, PostgresError
from sqlalchemy.exc import DBAPIError, InterfaceError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from models.errors import Unavailable

# PostgreSQL error codes, appendix A: classes 08 (connection), 25 (read-only after a failover), 28 (password just
# rotated), 3D (database being restored), 40 (rolled back, try again), 53 (disk, memory or connections exhausted), 55
# (a lock not granted), 57 (shutdown, cancelled), 58 (system).
_PASSING = ("08", "25", "28", "3D", "40", "53", "55", "57", "58")


_UNDEFINED_TABLE = "42P01"


class SchemaMissing(Exception):
    """The database answers and has none of our tables."""


def _state(error: BaseException | None) -> str:
    return str(getattr(error, "sqlstate", None) or "")


def _is_lost(error: Exception) -> bool:
    return isinstance(error, DBAPIError) and (error.connection_invalidated or isinstance(error, InterfaceError))


@contextmanager
def unavailable_when_away() -> Iterator[None]:
    """Replace errors that mean "PostgreSQL cannot answer now" by `Unavailable`; let programming errors pass.

    Raises:
        Unavailable: no connection, no answer in time, no room, or a transaction that lost a race and can be repeated.
        SchemaMissing: the migrations have not been run.
    """
    try:
        yield
    except (OSError, TimeoutError, PoolTimeout, DriverInterfaceError, InternalClientError) as error:
        # The driver reports a connection lost in the middle of a statement as a misuse of itself.
        raise Unavailable from error
    except (DBAPIError, PostgresError) as error:
        # While a connection is being made, exceptions of the driver are not wrapped.
        state = _state(error.orig if isinstance(error, DBAPIError) else error)
        if _is_lost(error) or state.startswith(_PASSING):
            raise Unavailable from error
        if state == _UNDEFINED_TABLE:
            raise SchemaMissing("The database has no tables yet. Make them with: python main.py migrate") from error
        raise
