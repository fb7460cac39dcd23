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
from tests.support.state.database_inspector import Backstage, backstage_of
from tests.support.users.people import Person, Tokens
from tests.support.users.session_factory import Planter
from tests.support.users.user_factory import residents

_numbers = itertools.count(1)


@dataclass(frozen=True, slots=True)
class Official:
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


class Officials:
    """Appoints them."""

    def __init__(self, service: Service, backstage: Backstage, client: httpx.Client) -> None:
        self.backstage = backstage
        self._planter = Planter(service, backstage)
        self._client = client

    def appoint(self, *roles: str, name: str = "official") -> Official:
        """A new account with the role `user` and these, and a session."""
        person = residents(self.backstage, 1, name)[0]
        user_id = self.backstage.value("SELECT id FROM users WHERE email = $1", person.email)
        for role in roles:
            self.backstage.rows("INSERT INTO user_roles (user_id, role) VALUES ($1, $2)", user_id, role)
        return Official(person, user_id, self._planter.session(person), self._client)

    def administrator(self) -> Official:
        """May do everything."""
        return self.appoint("admin", name="chief")

    def clerk(self, *permissions: str) -> Official:
        """May do these things beside what every user may, by a role that nobody else has."""
        role = f"clerk-{next(_numbers)}"
        self.backstage.rows("INSERT INTO roles VALUES ($1, '')", role)
        self.backstage.rows("INSERT INTO role_permissions SELECT $1, unnest($2::text[])", role, list(permissions))
        return self.appoint(role, name="clerk")

    def session_of(self, official: Official) -> Tokens:
        """One session more."""
        return self._planter.session(official.person)

    def dismiss_administrators(self) -> None:
        """Leave nobody with the role; whoever is appointed next is the first."""
        self.backstage.rows("DELETE FROM user_roles WHERE role = 'admin'")


@contextmanager
def officials_of(service: Service) -> Iterator[Officials]:
    """Appoint people for a while."""
    with backstage_of(service) as backstage, service.client() as client:
        yield Officials(service, backstage, client)
