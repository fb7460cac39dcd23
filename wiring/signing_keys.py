"""The key ring with the rules that the settings give it, for whoever serves and for whoever changes keys."""

from __future__ import annotations

from datetime import timedelta

from backend.keys import Keys
from backend.tokens.signing_keys import KeyKeeper, KeyRules
from config import Settings
from database.engine import Database
from models.settings.groups import LONGEST_TOKEN


def key_keeper(settings: Settings, database: Database, keys: Keys) -> KeyKeeper:
    """A ring that was not read yet."""
    rules = KeyRules(
        algorithm=settings.key.algorithm,
        life=timedelta(seconds=settings.key.life),
        lead=timedelta(seconds=settings.key.lead),
        afterlife=timedelta(seconds=LONGEST_TOKEN),
        reread=settings.key.reread,
    )
    return KeyKeeper(database, keys.vault("signing keys"), rules)
