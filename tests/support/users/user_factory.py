"""Accounts that are simply there: written into PostgreSQL, where a walk through /register each would take minutes."""

from __future__ import annotations

import base64
import hashlib
import uuid

from tests.support.state.database_inspector import DatabaseInspector
from tests.support.users.people import Person, new_person

_ITERATIONS = 1000


def create_users(db: DatabaseInspector, count: int, name: str = "resident") -> list[Person]:
    """That many people with accounts, as the service itself would have written them down."""
    people = [new_person(name) for _ in range(count)]
    ids = [uuid.uuid4() for _ in people]
    db.rows(
        "INSERT INTO users (id, email, login, login_canonical, password_hash, locale) "
        "SELECT id, email, login, login, hash, 'en' "
        "FROM unnest($1::uuid[], $2::text[], $3::text[], $4::text[]) AS new (id, email, login, hash)",
        ids,
        [person.email for person in people],
        [person.login for person in people],
        [_hashed(person.password) for person in people],
    )
    db.rows("INSERT INTO user_roles (user_id, role) SELECT unnest($1::uuid[]), 'user'", ids)
    return people


def _hashed(password: str) -> str:
    salt = "residents0123456789012"
    digest = hashlib.pbkdf2_hmac("sha256", password.encode(), salt.encode(), _ITERATIONS)
    return f"pbkdf2_sha256${_ITERATIONS}${salt}${base64.b64encode(digest).decode()}"
