"""The signing keys of the service, for a process that serves and for the command that rotates them."""

from __future__ import annotations

import asyncio
import logging
import time

from cryptography.fernet import InvalidToken

from backend.derived_keys import Keys
from backend.tokens.signing_keys import SigningKeys
from config import Settings
from database.driver_errors import SchemaMissing
from database.engine import Database
from models.errors import Unavailable

log = logging.getLogger(__name__)

_START_TIMEOUT = 8.0
"""Seconds that a start waits for PostgreSQL: until it has started, the server reacts to no signal."""


def unread_signing_keys(settings: Settings, database: Database, keys: Keys) -> SigningKeys:
    """Return signing keys that have not been read from PostgreSQL yet."""
    return SigningKeys(database, keys.encryptor("signing keys"), settings.key)


async def read_signing_keys(settings: Settings, database: Database, keys: Keys) -> SigningKeys:
    """Return the signing keys once they are read; wait a few seconds for PostgreSQL if it is away.

    Raises:
        cryptography.fernet.InvalidToken: no secret key decrypts the stored signing keys.
        SchemaMissing: the database has no tables.
        Unavailable: PostgreSQL is still away.
    """
    signing_keys = unread_signing_keys(settings, database, keys)
    deadline = time.monotonic() + _START_TIMEOUT
    while True:
        try:
            await signing_keys.refresh()
        except InvalidToken:
            log.critical("SECRET_KEYS: none of them decrypts the signing keys that are stored in PostgreSQL")
            raise
        except SchemaMissing as error:
            log.critical("%s", error)
            raise
        except Unavailable:
            log.warning("waiting for PostgreSQL")
            if time.monotonic() > deadline:
                raise
            await asyncio.sleep(1)
        else:
            return signing_keys
