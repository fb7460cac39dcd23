"""People with roles that nobody gave them: written into PostgreSQL, as the first administrator's is."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from uuid import UUID

import httpx

from tests.support.requests.burst import post
from tests.support.service.process import Service
from tests.support.state.database_inspector import DatabaseInspector, inspect_database
from tests.support.users.people import Person, Tokens
from tests.support.users.session_factory import SessionFactory
from tests.support.users.user_factory import create_users

_numbers = itertools.count(1)


@dataclass(frozen=True, slots=True)
class StaffMember:
    """Somebody who is signed in."""

    person: Person
    id: UUID
    tokens: Tokens
    client: httpx.Client

    @property
    def bearer(self) -> dict[str, str]:
        """The header that carries the access token."""
        return {"Authorization": f"Bearer {self.tokens.access}"}

    def call(self, method: str, path: str, **options: object) -> httpx.Response:
        """Send a request with the access token; ``json=`` is its body."""
        return self.client.request(method, path, headers=self.bearer, **options)  # type: ignore[arg-type]

    def get(self, path: str, **query: object) -> httpx.Response:
        return self.call("GET", path, params=query)

    def post(self, path: str, **body: object) -> httpx.Response:
        return self.call("POST", path, json=body) if body else self.call("POST", path)

    def delete(self, path: str) -> httpx.Response:
        return self.call("DELETE", path)

    def request(self, method: str, path: str) -> bytes:
        """The bytes of a request without a body, for a burst."""
        headers = [f"{name}: {value}" for name, value in self.bearer.items()]
        return post(path, b"", *headers).replace(b"POST", method.encode(), 1)


class Staff:
    """Appoints them."""

    def __init__(self, service: Service, db: DatabaseInspector, client: httpx.Client) -> None:
        self.db = db
        self._session_factory = SessionFactory(service, db)
        self._client = client

    def appoint(self, *roles: str, name: str = "official") -> StaffMember:
        """A new account with the role `user` and these, and a session."""
        person = create_users(self.db, 1, name)[0]
        user_id = self.db.value("SELECT id FROM users WHERE email = $1", person.email)
        for role in roles:
            self.db.rows("INSERT INTO user_roles (user_id, role) VALUES ($1, $2)", user_id, role)
        return StaffMember(person, user_id, self._session_factory.create(person), self._client)

    def admin(self) -> StaffMember:
        """May do everything."""
        return self.appoint("admin", name="chief")

    def with_permissions(self, *permissions: str) -> StaffMember:
        """May do these things beside what every user may, by a role that nobody else has."""
        role = f"assistant-{next(_numbers)}"
        self.db.rows("INSERT INTO roles VALUES ($1, '')", role)
        self.db.rows("INSERT INTO role_permissions SELECT $1, unnest($2::text[])", role, list(permissions))
        return self.appoint(role, name="assistant")

    def session_of(self, official: StaffMember) -> Tokens:
        """One session more."""
        return self._session_factory.create(official.person)

    def remove_admins(self) -> None:
        """Leave nobody with the role; whoever is appointed next is the first."""
        self.db.rows("DELETE FROM user_roles WHERE role = 'admin'")


@contextmanager
def staff_of(service: Service) -> Iterator[Staff]:
    """Appoint people for a while."""
    with inspect_database(service) as db, service.client() as client:
        yield Staff(service, db, client)
