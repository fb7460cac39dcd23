"""The key ring, kept encrypted in PostgreSQL."""

from __future__ import annotations

from cryptography.fernet import MultiFernet

from database.engine import Database
from jwt_tools.keys import KeyRing, SigningKey


async def load_key_ring(database: Database, vault: MultiFernet) -> KeyRing:
    """Every signing key; the very first one is made here, by whichever process holds the lock first.

    Raises:
        Unavailable: PostgreSQL is away.
        cryptography.fernet.InvalidToken: no secret key of ours opens what is stored.
    """
    async with database.transaction() as db:
        stored = await db.signing_keys.all()
        if not stored:
            await db.signing_keys.lock()
            stored = await db.signing_keys.all()
        if stored:
            return KeyRing([SigningKey.from_der(vault.decrypt(key.private_key)) for key in stored])
        first = SigningKey.generate()
        await db.signing_keys.add(first.kid, first.algorithm, vault.encrypt(first.to_der()))
    return KeyRing([first])
