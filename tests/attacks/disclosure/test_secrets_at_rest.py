"""Whoever steals Valkey, PostgreSQL or the log finds no password, no code, no session key and no token."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote, quote_plus

import httpx
import pytest

from devstack.mailbox import Mailbox
from devstack.stack import Stack
from tests.conftest import migrated, serving_on
from tests.support.requests.hostile_bodies import CANARY, corpus
from tests.support.service.process import Service
from tests.support.state.database_inspector import DatabaseInspector, inspect_database
from tests.support.users.flows import outcome
from tests.support.users.people import Person, Walker, new_person
from tests.support.users.signed_in import SignedIn

PASSWORDS = [f"Canary passphrase #{number} of % & ü" for number in range(4)]
"""With letters that each way of writing a text down writes differently."""


@dataclass(slots=True)
class Secrets:
    """Everything that somebody held in the hand and nobody may find."""

    texts: set[str] = field(default_factory=lambda: {*PASSWORDS, CANARY})
    codes: set[str] = field(default_factory=set)
    raw: set[bytes] = field(default_factory=set)

    def key(self, session_key: str) -> None:
        """A session key, and its secret half alone; the flow id may be known."""
        self.texts.add(session_key)
        self.raw.add(base64.urlsafe_b64decode(session_key)[16:])

    def refresh_token(self, token: str) -> None:
        """A refresh token, and what follows the id of its session, which every access token tells."""
        self.texts.add(token)
        self.raw.add(base64.urlsafe_b64decode(token + "==")[16:48])


def spellings(secret: bytes) -> Iterator[bytes]:
    """A secret as it may lie somewhere: plain, in JSON, in a URL, in hex, and in base64 at any of three offsets."""
    yield secret
    yield secret.hex().encode()
    for offset in range(3):
        # The letters at the edges hold bits of the neighbours.
        encoded = base64.b64encode(b"\0" * offset + secret)
        whole = encoded[(0, 2, 3)[offset] : -4]
        yield whole
        yield whole.translate(bytes.maketrans(b"+/", b"-_"))
    try:
        text = secret.decode()
    except UnicodeDecodeError:
        return
    yield from (quote(text).encode(), quote_plus(text).encode(), quote(text, safe="").encode())
    yield text.encode("unicode_escape")


def everything_in_valkey(db: DatabaseInspector) -> dict[str, bytes]:
    """Every key with all that it holds, whatever its type."""
    valkey: Any = db.valkey
    found: dict[str, bytes] = {}
    readers: dict[str, Callable[[bytes], Iterable[bytes]]] = {
        "string": lambda key: [valkey.get(key)],
        "hash": lambda key: [part for pair in valkey.hgetall(key).items() for part in pair],
        "list": lambda key: valkey.lrange(key, 0, -1),
        "set": valkey.smembers,
        "zset": lambda key: valkey.zrange(key, 0, -1),
        "stream": lambda key: [part for _, pairs in valkey.xrange(key) for pair in pairs.items() for part in pair],
    }
    for key in valkey.scan_iter():
        kind = valkey.type(key).decode()
        found[f"Valkey, {kind} {key.decode()}"] = b"\n".join([key, *readers[kind](key)])
    return found


def everything_in_postgresql(db: DatabaseInspector) -> dict[str, bytes]:
    """Every row of every table; bytes come out as hex."""
    tables = db.rows(
        "SELECT quote_ident(schemaname) || '.' || quote_ident(tablename) AS name FROM pg_tables"
        " WHERE schemaname NOT IN ('pg_catalog', 'information_schema')"
    )
    return {
        f"PostgreSQL, {table['name']}": "\n".join(
            row["text"] for row in db.rows(f"SELECT t::text AS text FROM {table['name']} t")
        ).encode()
        for table in tables
    }


def everything_written(service: Service, stack: Stack) -> dict[str, bytes]:
    """The log of the service, those of its servers, and Valkey's append-only file: all that ever stood in Valkey."""
    files = [service.log_file, *stack.logs.rglob("*"), *stack.valkey.folder.rglob("*")]
    return {f"the file {path.name}": path.read_bytes() for path in files if path.is_file()}


def found_in(places: dict[str, bytes], secrets: Iterable[bytes]) -> list[str]:
    needles = {spelling: secret for secret in secrets for spelling in spellings(secret)}
    return [
        f"{secret!r} lies in {place} as {spelling!r}"
        for place, content in places.items()
        for spelling, secret in needles.items()
        if spelling in content
    ]


class Careless(Walker):
    """Walks as others do, and remembers every secret that passes by."""

    def __init__(self, client: httpx.Client, mailbox: Mailbox) -> None:
        super().__init__(client, mailbox)
        self.secrets = Secrets()

    def post(self, path: str, **body: object) -> httpx.Response:
        answer = super().post(path, **body)
        if "session_key" in answer.text:
            self.secrets.key(answer.json()["session_key"])
        if "access_token" in answer.text:
            # A token without its signature is worth nothing, but tells as much as one with it.
            self.secrets.texts |= {answer.json()["access_token"], *answer.json()["access_token"].split(".")[1:]}
        if "refresh_token" in answer.text:
            self.secrets.refresh_token(answer.json()["refresh_token"])
        if "code" in body:
            self.secrets.codes.add(str(body["code"]))
        return answer


def change(walk: Careless, person: Person) -> None:
    """What an owner does to the account, but for its end: that is begun, and left open."""
    owner = SignedIn(walk, person, walk.open_session(person))
    for flow, (key, code) in {
        "email": owner.open_email_change(f"new-{person.email}"),
        "delete": owner.open_deletion(),
    }.items():
        walk.secrets.key(key)
        walk.secrets.codes.add(code)
        assert outcome(owner.confirm(flow, key, "987654321098")) == (400, "wrong_code")
        assert flow == "delete" or owner.confirm(flow, key, code).status_code == 200
    assert owner.call("PUT", "/me/login", password=PASSWORDS[2], login=CANARY).status_code == 403
    new = {"current_password": person.password, "password": PASSWORDS[1]}
    assert owner.call("PUT", "/me/password", **new).status_code == 204
    assert owner.call("GET", "/me/export").status_code == 200


def live(walk: Careless) -> None:
    """All flows to their ends, each beside one that is left open and several that fail."""
    person = Person(new_person("careless").email, new_person().login, PASSWORDS[0])
    walk.register(person)
    tokens = walk.open_session(person)
    walk.me(tokens.access)
    walk.refresh(walk.refresh(tokens.refresh).json()["refresh_token"])
    walk.refresh(tokens.refresh)
    walk.post("/logout", refresh_token=walk.open_session(person).refresh)
    for flow, start in {"login": walk.open_login, "recover": walk.open_recovery}.items():
        key, code = start(person)
        walk.secrets.codes.add(code)
        assert outcome(walk.confirm(flow, key, "987654321098")) == (400, "wrong_code")
    walk.open_registration(Person(new_person("open").email, new_person().login, PASSWORDS[1]))
    assert walk.post("/login", login=person.login, password=PASSWORDS[2]).status_code == 401
    assert walk.post("/register", email="nobody", login="x", password=PASSWORDS[2]).status_code == 422
    assert walk.post("/recover/password", session_key="x" * 64, password=PASSWORDS[2]).status_code == 410
    assert walk.post("/recover", email=person.email, password=PASSWORDS[2]).status_code == 422
    change(walk, walk.recover(person, PASSWORDS[3]))
    for hostile in corpus():
        headers = {"Content-Type": hostile.content_type or "text/plain", "User-Agent": CANARY}
        for path in ("/register", "/login", "/recover/password", "/login/confirm"):
            walk.client.post(path, content=hostile.body, headers=headers)
    walk.client.get("/me", headers={"Authorization": f"Bearer {CANARY}"})
    walk.client.get(f"/{CANARY}?password={CANARY}")


@pytest.fixture
def apart(tmp_path: Path) -> Iterator[Stack]:
    """Servers that nobody else has written into the files of."""
    with Stack(tmp_path / "stack", durable=False) as running:
        migrated(running)
        yield running


def test_no_secret_rests_anywhere(apart: Stack, tmp_path: Path) -> None:
    # Twelve digits do not come up by chance, as four would.
    with serving_on(apart, tmp_path, workers=2, CODE_DIGITS="12") as service, service.client() as client:
        walk = Careless(client, apart.mailbox)
        live(walk)
        with inspect_database(service) as db:
            db.wait_until_all_mail_has_left()
            places = everything_in_valkey(db) | everything_in_postgresql(db)
            places |= everything_written(service, apart)
    assert sum(place.startswith("Valkey") for place in places) >= 6
    assert "PostgreSQL, public.users" in places
    assert len(walk.secrets.codes) >= 5
    assert all(len(code) == 12 for code in walk.secrets.codes)
    texts = {text.encode() for text in walk.secrets.texts | walk.secrets.codes}
    assert found_in(places, texts | walk.secrets.raw) == []


def test_the_search_finds_what_is_there(service: Service, walk: Walker, bob: Person) -> None:
    walk.register(bob)
    with inspect_database(service) as db:
        assert found_in(everything_in_postgresql(db), [bob.email.encode()])
        db.valkey.hset("laid-out", "field", base64.b64encode(b"xx" + bob.password.encode() + b"yy"))
        found = found_in(everything_in_valkey(db), [bob.password.encode()])
        db.valkey.delete("laid-out")
    assert len(found) == 1
