"""Signing keys and secrets change while everybody goes on: no honest token is ever refused (C4, fault 27)."""

from __future__ import annotations

import base64
import json
import random
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import jwt
import pytest

from devstack.mailbox import Mailbox
from tests.conftest import Serving
from tests.support.service.example import running_example
from tests.support.service.process import SERVICE_CLIENT, Service
from tests.support.state.database_inspector import DatabaseInspector, inspect_database
from tests.support.state.eventually import eventually
from tests.support.users.flows import outcome
from tests.support.users.people import Person, Tokens, Walker, new_person

OFTEN = {"KEY_LIFE": "6", "KEY_MAX_AGE": "1", "KEY_REFRESH_INTERVAL": "1", "TOKEN_TTL": "10"}
"""A key is published 3 s before it signs, and signs for 6."""

OLD, NEW = "an old secret of many letters 0123", "a new secret of many letters 45678"


@dataclass
class Clients:
    """People who go on calling whatever happens to the keys."""

    service: Service
    example: httpx.Client
    """Another service, which knows our keys alone."""
    mailbox: Mailbox
    answers: list[int] = field(default_factory=list)
    kids: set[str] = field(default_factory=set)
    failures: list[str] = field(default_factory=list)
    over: threading.Event = field(default_factory=threading.Event)

    def live(self, person: Person) -> None:
        """Use every access token for a while, some for nearly all of their life, then refresh, and so on."""
        try:
            with self.service.client() as client:
                walk = Walker(client, self.mailbox)
                tokens = walk.open_session(person)
                while not self.over.is_set():
                    self.kids.add(jwt.get_unverified_header(tokens.access)["kid"])
                    lives_until = time.monotonic() + random.choice((1, 3, 9))
                    while time.monotonic() < lives_until and not self.over.is_set():
                        self.look(walk, tokens)
                        self.over.wait(0.05)
                    tokens = Tokens.of(walk.refresh(tokens.refresh))
        except BaseException as failure:  # noqa: BLE001 - told to the test, which would not hear of it
            self.failures.append(repr(failure))

    def look(self, walk: Walker, tokens: Tokens) -> None:
        self.answers.append(walk.me(tokens.access).status_code)
        told = walk.client.post("/introspect", data={"token": tokens.access}, auth=SERVICE_CLIENT)
        self.answers.append(200 if told.json()["active"] else 401)
        there = self.example.get("/whoami", headers={"Authorization": f"Bearer {tokens.access}"})
        self.answers.append(there.status_code)


@contextmanager
def at_work(clients: Clients, people: list[Person]) -> Iterator[None]:
    """Have them all call until the block ends; what went wrong for one of them fails the test."""
    threads = [threading.Thread(target=clients.live, args=(person,)) for person in people]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        clients.over.set()
        for thread in threads:
            thread.join()
    assert clients.failures == []


def kids(service: Service) -> list[str]:
    return [key["kid"] for key in service.get("/.well-known/jwks.json").json()["keys"]]


def test_keys_rotate_three_times_under_load_in_two_processes_and_a_service_beside_them(
    serving: Serving, mailbox: Mailbox, tmp_path: Path
) -> None:
    with (
        serving(workers=2, **OFTEN) as service,
        service.client() as client,
        running_example(service.url, tmp_path) as example,
    ):
        people = [new_person("patient") for _ in range(4)]
        for person in people:
            Walker(client, mailbox).register(person)
        clients = Clients(service, example, mailbox)
        with at_work(clients, people):
            eventually(lambda: len(clients.kids) >= 4, within=90, look_every=0.5)
        assert set(clients.answers) == {200}
        assert len(clients.answers) > 500
        # Whoever has the list has every key that a living token may have been signed with, and the next one.
        assert clients.kids <= {*kids(service)}


@pytest.mark.parametrize("algorithm", ["EdDSA", "RS256"])
def test_another_algorithm_takes_over_without_a_restart_of_anybody_else(algorithm: str, serving: Serving) -> None:
    with serving(**OFTEN | {"KEY_LIFE": "3600"}) as service:
        with service.walker() as walk:
            walk.register(person := new_person("changed"))
            before = walk.open_session(person)
        service.stop()
        service.environment["KEY_ALGORITHM"] = algorithm
        service.start()
        with service.walker() as walk:
            # The old key signs until the new one was published for long enough.
            tokens = Tokens.of(walk.refresh(before.refresh))
            assert jwt.get_unverified_header(tokens.access)["alg"] == "ES256"
            eventually(lambda: len(kids(service)) == 2, within=10)
            assert walk.me(tokens.access).status_code == 200

            def signs_anew() -> bool:
                nonlocal tokens
                tokens = Tokens.of(walk.refresh(tokens.refresh))
                return bool(jwt.get_unverified_header(tokens.access)["alg"] == algorithm)

            eventually(signs_anew, within=15, look_every=0.3)
            assert walk.me(tokens.access).status_code == 200


def test_a_key_is_withdrawn_when_its_last_token_has_expired(serving: Serving) -> None:
    with serving(**OFTEN | {"KEY_LIFE": "3600"}) as service, inspect_database(service) as db:
        [first] = kids(service)
        let_pass(db, 3599)
        eventually(lambda: len(kids(service)) == 2, within=10)
        second, last = kids(service)
        assert last == first
        # An hour is the longest that any token lives; then as long as a list may be out of date.
        let_pass(db, 3590)
        time.sleep(1.5)
        assert first in kids(service)
        let_pass(db, 20)
        eventually(lambda: first not in kids(service), within=5)
        # It is forgotten when the next key is made.
        eventually(lambda: len(kids(service)) == 2, within=10)
        assert kids(service)[-1] == second
        assert {row["kid"] for row in db.rows("SELECT kid FROM signing_keys")} == {*kids(service)}


def let_pass(db: DatabaseInspector, seconds: int) -> None:
    """Do to the keys what that much time would have done."""
    db.rows(f"UPDATE signing_keys SET signs_from = signs_from - interval '{seconds} s'")


def test_the_list_is_announced_with_its_age_and_need_not_be_sent_twice(service: Service) -> None:
    address = f"{service.url}/.well-known/jwks.json"
    first = httpx.get(address)
    assert first.headers["Cache-Control"] == "public, max-age=300"
    etag = first.headers["ETag"]
    for known in (etag, f"W/{etag}", f'"other", {etag}'):
        again = httpx.get(address, headers={"If-None-Match": known})
        assert (again.status_code, again.content) == (304, b"")
        assert again.headers["ETag"] == etag
    assert httpx.get(address, headers={"If-None-Match": '"other"'}).status_code == 200
    told = service.get("/.well-known/oauth-authorization-server").json()
    assert told["issuer"] == service.environment["ISSUER"]
    assert httpx.get(told["jwks_uri"]).json() == first.json()


# The one secret.


def test_a_new_secret_in_front_of_the_old_one_costs_nobody_anything(serving: Serving) -> None:
    with serving(SECRET_KEYS=OLD) as service:
        person, late = new_person("kept"), new_person("late")
        with service.walker() as walk:
            walk.register(person)
            first = walk.open_session(person)
            lost = Tokens.of(walk.refresh(first.refresh))
            registration, login = walk.open_registration(late), walk.open_login(person)
        changed(service, f"{NEW},{OLD}")
        with service.walker() as walk:
            # What was signed, mailed and given before is as good as it was, a repeat of a moment ago included.
            assert walk.me(lost.access).status_code == 200
            assert Tokens.of(walk.refresh(first.refresh)).refresh == lost.refresh
            assert walk.confirm("register", *registration).status_code == 201
            assert walk.confirm("login", *login).status_code == 200
            successor = Tokens.of(walk.refresh(lost.refresh))
        changed(service, NEW)
        with service.walker() as walk:
            # The old one is gone: the signing key was sealed anew, and so was whatever was refreshed meanwhile.
            assert walk.me(lost.access).status_code == 200
            assert walk.refresh(successor.refresh).status_code == 200
            assert outcome(walk.refresh(lost.refresh)) == (400, "invalid_grant")


def changed(service: Service, secret_keys: str) -> None:
    service.stop()
    service.environment["SECRET_KEYS"] = secret_keys
    service.start()


def test_a_process_that_lacks_the_new_secret_goes_on_with_what_it_has_opened(
    serving: Serving, mailbox: Mailbox
) -> None:
    # A restart of many processes one after the other: the first ones have the new secret, the last ones not yet.
    with serving(SECRET_KEYS=OLD, KEY_REFRESH_INTERVAL="1") as old_one:
        with old_one.client() as client:
            Walker(client, mailbox).register(person := new_person("rolling"))
        new_one = Service(old_one.stack, "", 0, old_one.log_file.parent)
        new_one.environment = old_one.environment | {"SECRET_KEYS": f"{NEW},{OLD}"}
        new_one.start()
        try:
            time.sleep(2.5)  # the old one has read the ring again, which rests under the new secret by now
            with old_one.client() as client, new_one.client() as other:
                walk, away = Walker(client, mailbox), Walker(other, mailbox)
                token = walk.log_in(person)
                assert away.me(token).status_code == walk.me(token).status_code == 200
                assert walk.me(away.log_in(person)).status_code == 200
                # What one of them has made with a secret that the other lacks is no theft, and may be asked for again.
                tokens = walk.open_session(person)
                successor = Tokens.of(away.refresh(tokens.refresh))
                assert outcome(walk.refresh(tokens.refresh)) == (503, "unavailable")
                assert Tokens.of(away.refresh(tokens.refresh)).refresh == successor.refresh
        finally:
            new_one.kill()
        assert "could not be read" not in old_one.log()


def test_a_key_that_waits_for_a_clock_to_catch_up_signs_all_the_same(serving: Serving) -> None:
    # A failover to a standby, or a restored machine, whose clock is behind.
    with serving(KEY_REFRESH_INTERVAL="1") as service, inspect_database(service) as db:
        db.rows("UPDATE signing_keys SET signs_from = now() + interval '1 hour'")
        time.sleep(1.5)
        service.stop()
        service.start()
        with service.walker() as walk:
            walk.register(person := new_person("early"))
            token = walk.log_in(person)
            assert walk.me(token).status_code == 200
            assert outcome(walk.me(renamed(token))) == (401, "invalid_token")


def renamed(token: str) -> str:
    """The token as if a key of another name had signed it."""
    head = base64.urlsafe_b64encode(json.dumps({"alg": "ES256", "typ": "at+jwt", "kid": "made up"}).encode())
    return ".".join([head.rstrip(b"=").decode(), *token.split(".")[1:]])


def test_a_process_that_cannot_open_the_key_is_not_ready_and_fails_at_nothing_else(
    serving: Serving, mailbox: Mailbox
) -> None:
    with serving(SECRET_KEYS=OLD, KEY_REFRESH_INTERVAL="1") as service, inspect_database(service) as db:
        with service.client() as client:
            Walker(client, mailbox).register(person := new_person("locked"))
            token = Walker(client, mailbox).log_in(person)
        # Somebody has changed the key, and SECRET_KEYS with it, everywhere but here.
        db.rows("UPDATE signing_keys SET kid = 'other', private_key = 'sealed otherwise'")
        with service.client() as client:
            walk = Walker(client, mailbox)
            eventually(lambda: client.get("/health/ready").json()["dependencies"]["signing key"] == "away", within=10)
            assert walk.me(token).status_code == 200
            assert {outcome(walk.me(renamed(token))) for _ in range(5)} == {(503, "unavailable")}
            assert client.get("/health/ready").status_code == 503
            key, code = walk.open_login(person)
            assert outcome(walk.confirm("login", key, code)) == (503, "unavailable")
        assert "unforeseen" not in service.log()


def test_a_secret_that_opens_nothing_stops_the_start_with_its_name(serving: Serving) -> None:
    with serving(SECRET_KEYS=OLD) as service:
        service.stop()
        service.environment["SECRET_KEYS"] = NEW
        service.start(wait=False)
        eventually(lambda: "SECRET_KEYS" in service.log(), within=15)
        assert NEW not in service.log()
