"""Administrators who are simply there: with a session each, and the role admin or a few permissions."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import httpx

from tests.support.backstage import Backstage, backstage_of
from tests.support.burst import post
from tests.support.people import Person, Tokens
from tests.support.planted import Planter
from tests.support.residents import residents
from tests.support.service import Service

_numbers = itertools.count(1)


@dataclass(frozen=True, slots=True)
class Member:
    """Somebody who is signed in, and calls."""

    person: Person
    id: str
    tokens: Tokens
    client: httpx.Client

    @property
    def bearer(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.tokens.access}"}

    def call(self, method: str, path: str, **options: Any) -> httpx.Response:
        return self.client.request(method, path, headers=self.bearer, **options)

    def get(self, path: str, **query: object) -> httpx.Response:
        return self.call("GET", path, params=query)

    def post(self, path: str, **body: object) -> httpx.Response:
        return self.call("POST", path, json=body) if body else self.call("POST", path)

    def delete(self, path: str) -> httpx.Response:
        return self.call("DELETE", path)

    def request(self, method: str, path: str) -> bytes:
        """The bytes of a request without a body, for a burst."""
        return post(path, b"", f"Authorization: Bearer {self.tokens.access}").replace(b"POST", method.encode(), 1)


class Staff:
    """Plants people with accounts, sessions and more permissions than most."""

    def __init__(self, service: Service, backstage: Backstage, client: httpx.Client) -> None:
        self.backstage = backstage
        self._planter = Planter(service, backstage)
        self._client = client

    def member(self, *roles: str, name: str = "member") -> Member:
        """Somebody with the role user, and with these."""
        [person] = residents(self.backstage, 1, name)
        user_id = self.backstage.value("SELECT id FROM users WHERE email = $1", person.email)
        self.backstage.rows("INSERT INTO user_roles SELECT $1, unnest($2::text[])", user_id, list(roles))
        return Member(person, str(user_id), self._planter.session(person), self._client)

    def administrator(self) -> Member:
        """May do everything."""
        return self.member("admin", name="chief")

    def clerk(self, *permissions: str) -> Member:
        """May do these things beside what every user may, by a role that nobody else has."""
        role = f"clerk-{next(_numbers)}"
        self.backstage.rows("INSERT INTO roles VALUES ($1, '')", role)
        self.backstage.rows("INSERT INTO role_permissions SELECT $1, unnest($2::text[])", role, list(permissions))
        return self.member(role, name="clerk")

    def session(self, member: Member) -> Tokens:
        """One session more."""
        return self._planter.session(member.person)

    def dismiss_administrators(self) -> None:
        """Leave nobody with the role; whoever is planted next is the first."""
        self.backstage.rows("DELETE FROM user_roles WHERE role = 'admin'")


@contextmanager
def staff_of(service: Service) -> Iterator[Staff]:
    """Plant people for a while."""
    with backstage_of(service) as backstage, service.client() as client:
        yield Staff(service, backstage, client)
