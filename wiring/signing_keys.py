"""The key ring with the rules that the settings give it, for whoever serves and for whoever changes keys."""

from __future__ import annotations

from datetime import timedelta

from backend.keys import Keys
from backend.tokens.signing_keys import KeyRules, SigningKeys
from config import Settings
from database.engine import Database
from models.settings.groups import LONGEST_TOKEN


def signing_keys(settings: Settings, database: Database, keys: Keys) -> SigningKeys:
    """A ring that was not read yet."""
    rules = KeyRules(
        algorithm=settings.key.algorithm,
        life=timedelta(seconds=settings.key.life),
        activation_delay=timedelta(seconds=settings.key.activation_delay),
        retention=timedelta(seconds=LONGEST_TOKEN),
        refresh_interval=settings.key.refresh_interval,
    )
    return SigningKeys(database, keys.encryptor("signing keys"), rules)
