"""Remembers every fact that the service has acknowledged, and asks for all of them afterwards."""

from __future__ import annotations

import threading
import time

import httpx

from tests.support.users.people import Person, Tokens, Walker, new_person


class FactLog:
    """Facts are: this account exists, this is its password, this refresh token lives, that session has ended.

    What was asked for and not answered may have come about or not; it is no fact, and what it might have changed is
    not asked for either.
    """

    def __init__(self) -> None:
        self.people: list[Person] = []
        self.living: list[str] = []
        self.ended: list[str] = []
        self.surprises: list[AssertionError] = []
        self._lock = threading.Lock()

    @property
    def facts(self) -> int:
        return len(self.people) + len(self.living) + len(self.ended)

    def watch(self, walk: Walker, over: threading.Event) -> None:
        """Let people come, one after another, until the service goes away."""
        while not over.is_set():
            try:
                self._a_life(walk, new_person("watched"))
            except (httpx.TransportError, _GoneError):
                return
            except AssertionError as error:
                self.surprises.append(error)
                return

    def _a_life(self, walk: Walker, person: Person) -> None:
        _expect(walk.confirm("register", *self._opened(walk, "/register", person)), 201)
        with self._lock:
            self.people.append(person)
        staying = self._session(walk, person)
        leaving = self._session(walk, person)
        with self._lock:
            # From here on it is not known which of them lives, until the answer is there.
            self.living.remove(leaving.refresh)
            self.living.remove(staying.refresh)
        _expect(walk.log_out(leaving.access), 204)
        with self._lock:
            self.ended.append(leaving.refresh)
        refreshed = Tokens.of(_expect(walk.refresh(staying.refresh), 200))
        with self._lock:
            self.living.append(refreshed.refresh)

    def _session(self, walk: Walker, person: Person) -> Tokens:
        tokens = Tokens.of(_expect(walk.confirm("login", *self._opened(walk, "/login", person)), 200))
        with self._lock:
            self.living.append(tokens.refresh)
        return tokens

    def _opened(self, walk: Walker, path: str, person: Person) -> tuple[str, str]:
        flow = path.strip("/")
        body = {"login": person.login, "password": person.password}
        body |= {"email": person.email} if flow == "register" else {}
        already = len(walk.codes(person.email, flow))
        answer = _expect(walk.post(path, **body), 202)
        return answer.json()["session_key"], walk.next_code(person.email, already, flow)

    def verify(self, walk: Walker) -> None:
        """Find every fact again."""
        assert not self.surprises, self.surprises
        for person in self.people:
            _expect(walk.post("/login", login=person.login, password=person.password), 202)
        for token in self.living:
            _expect(walk.refresh(token), 200)
        for token in self.ended:
            _expect(walk.refresh(token), 400)


class _GoneError(Exception):
    """The service says that it cannot answer."""


_PACE = 0.2
"""Seconds between two requests of one person: nginx lets all that have one address ask twenty times a second."""


def _expect(answer: httpx.Response, status: int) -> httpx.Response:
    time.sleep(_PACE)
    if answer.status_code in (502, 503, 504):
        raise _GoneError
    assert answer.status_code == status, answer.text
    return answer
