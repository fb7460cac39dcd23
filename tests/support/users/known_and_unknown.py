"""Many accounts at once, and as many names like theirs that nobody has: nothing but the account tells them apart."""

from __future__ import annotations

from dataclasses import dataclass

from backend.passwords.hasher import hash_password
from tests.support.state.database_inspector import DatabaseInspector

PASSWORD = "the crowd's own passphrase"

_INSERT = """
    INSERT INTO users (id, email, login, login_canonical, password_hash, locale, blocked_at)
    SELECT gen_random_uuid(), login || '@example.com', login, login, $1, 'en', CASE WHEN $2 THEN now() END
    FROM (SELECT $3 || '-' || lpad((2 * number)::text, 6, '0') AS login FROM generate_series(0, $4 - 1) AS number) AS n
"""


@dataclass(frozen=True, slots=True)
class KnownAndUnknown:
    """Logins ``name-000000``, ``name-000001`` and so on: the even ones have accounts, the odd ones have none."""

    name: str
    size: int

    def login(self, number: int, *, known: bool) -> str:
        """A login; over and over from the first one when there are no more."""
        return f"{self.name}-{2 * (number % self.size) + (not known):06d}"

    def email(self, number: int, *, known: bool) -> str:
        return f"{self.login(number, known=known)}@example.com"


def known_and_unknown(
    db: DatabaseInspector, name: str, size: int, *, iterations: int, blocked: bool = False
) -> KnownAndUnknown:
    """Put the accounts where they would be had they registered; one hash for all, made at this cost."""
    db.rows(_INSERT, hash_password(PASSWORD, iterations), blocked, name, size)
    db.rows("ANALYZE users")
    return KnownAndUnknown(name, size)
