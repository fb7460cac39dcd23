"""Envelopes: addresses that a mail must still reach when the account has them no more, sealed while they wait."""

from __future__ import annotations

import json
from dataclasses import dataclass

from backend.keys import Keys
from database.users import User
from models.values.locale import Locale


@dataclass(frozen=True, slots=True)
class Recipient:
    """Whom a mail goes to, and how he was called."""

    email: str
    login: str
    locale: Locale


class RecipientEncryptor:
    """Seals who had an account, so that nobody reads it in PostgreSQL, and opens that for the mail worker."""

    def __init__(self, keys: Keys) -> None:
        self._encryptor = keys.encryptor("outgoing address")

    def seal(self, user: User) -> str:
        """Whoever has the account at this moment."""
        written = json.dumps({"email": user.email, "login": user.login, "locale": user.locale.value})
        return self._encryptor.encrypt(written.encode()).decode()

    def open(self, sealed: str) -> Recipient:
        """Whoever it was.

        Raises:
            cryptography.fernet.InvalidToken: sealed under none of our secrets.
        """
        read = json.loads(self._encryptor.decrypt(sealed.encode()))
        return Recipient(read["email"], read["login"], Locale(read["locale"]))
