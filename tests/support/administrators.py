"""People with roles that nobody gave them: written into PostgreSQL, as the first administrator's is."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

import httpx

from tests.support.backstage import Backstage
from tests.support.people import Person, Tokens
from tests.support.planted import Planter
from tests.support.residents import residents
from tests.support.service import Service


@dataclass(frozen=True, slots=True)
class Official:
    """Somebody who is signed in."""

    person: Person
    id: UUID
    tokens: Tokens
    client: httpx.Client

    def call(self, method: str, path: str, **options: object) -> httpx.Response:
        """Send a request with the access token; ``json=`` is its body."""
        headers = {"Authorization": f"Bearer {self.tokens.access}"}
        return self.client.request(method, path, headers=headers, **options)  # type: ignore[arg-type]


class Officials:
    """Appoints them."""

    def __init__(self, service: Service, backstage: Backstage, client: httpx.Client) -> None:
        self._planter = Planter(service, backstage)
        self._backstage = backstage
        self._client = client

    def appoint(self, *roles: str, name: str = "official") -> Official:
        """A new account with the role `user` and these, and a session."""
        person = residents(self._backstage, 1, name)[0]
        user_id = self._backstage.value("SELECT id FROM users WHERE email = $1", person.email)
        for role in roles:
            self._backstage.rows("INSERT INTO user_roles (user_id, role) VALUES ($1, $2)", user_id, role)
        return Official(person, user_id, self._planter.session(person), self._client)
