"""The key ring with the rules that the settings give it, for whoever serves and for whoever changes keys."""

from __future__ import annotations

from backend.keys import Keys
from backend.tokens.signing_keys import SigningKeys
from config import Settings
from database.engine import Database


def signing_keys(settings: Settings, database: Database, keys: Keys) -> SigningKeys:
    """A ring that was not read yet."""
    return SigningKeys(database, keys.encryptor("signing keys"), settings.key)
