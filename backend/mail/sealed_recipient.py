"""Encrypted recipients: addresses that must still receive a mail after the account has lost them."""

from __future__ import annotations

import json
from dataclasses import dataclass

from backend.derived_keys import Keys
from database.users import User
from models.values.locale import Locale


@dataclass(frozen=True, slots=True)
class Recipient:
    """The address of a mail, with the login and the language of its owner."""

    email: str
    login: str
    locale: Locale


class RecipientEncryptor:
    """Encrypts recipients while their mail waits in PostgreSQL, and decrypts them for the mail worker."""

    def __init__(self, keys: Keys) -> None:
        self._encryptor = keys.encryptor("outgoing address")

    def encrypt(self, user: User) -> str:
        """Return address, login and language of the account as they are now, encrypted."""
        written = json.dumps({"email": user.email, "login": user.login, "locale": user.locale.value})
        return self._encryptor.encrypt(written.encode()).decode()

    def decrypt(self, sealed: str) -> Recipient:
        """Return the recipient that `encrypt` was given.

        Raises:
            cryptography.fernet.InvalidToken: none of the current secrets decrypts it.
        """
        read = json.loads(self._encryptor.decrypt(sealed.encode()))
        return Recipient(read["email"], read["login"], Locale(read["locale"]))
