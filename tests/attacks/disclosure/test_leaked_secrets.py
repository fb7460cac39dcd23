"""threats.md, section 1 F, row 60: no secret is told to a log or a caller, and the surface says no more than it must.

Codes, session keys and passwords at rest are in ``test_secrets_at_rest.py``, whose walk is walked here again,
with canaries in whatever an operator writes into the settings. ``/docs`` is on as shipped, and what nginx hides of the
rest belongs to an issue of its own.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest

from devstack.mailbox import Mailbox
from devstack.ports import free_port
from devstack.stack import Stack
from tests.attacks.disclosure.test_secrets_at_rest import Careless, found_in, live
from tests.conftest import Serving
from tests.support.requests.burst import send
from tests.support.requests.hostile_bodies import CANARY
from tests.support.servers.proxy import Proxy
from tests.support.service.fixtures import service_fixture
from tests.support.service.process import ROOT, Service
from tests.support.users.people import new_person

SECRET_KEY = "canary-of-the-secret-keys-0123456789"
SMTP_PASSWORD = "canary-of-smtp-4711"
VALKEY_PASSWORD = "canary-of-valkey-4711"
FOREIGN = "https://evil.test"
FRIEND = "https://app.example.com"


class Listener(Careless):
    """A careless caller who writes down every answer, head and body."""

    def __init__(self, client: httpx.Client, mailbox: Mailbox) -> None:
        super().__init__(client, mailbox)
        self.answers: list[tuple[str, httpx.Response]] = []
        client.event_hooks = {"response": [self._note]}

    def _note(self, answer: httpx.Response) -> None:
        answer.read()
        self.answers.append((f"{answer.request.method} {answer.request.url.path}", answer))

    def heard(self) -> dict[str, bytes]:
        """Everything that was answered, by a name for each answer."""
        return {
            f"answer {number} to {name[:40]}": str(answer.headers).encode() + answer.content
            for number, (name, answer) in enumerate(self.answers)
        }


@pytest.fixture
def told(stack: Stack, mailbox: Mailbox, new_service: Callable[..., Service]) -> Iterator[tuple[Service, ExitStack]]:
    """A service with a secret in every setting that takes one; what closes its way to its servers comes with it."""
    service = new_service(workers=2, CODE_DIGITS="12", SECRET_KEYS=SECRET_KEY)
    with ExitStack() as ways:
        postgres, valkey = (ways.enter_context(Proxy(server.port)) for server in (stack.postgres, stack.valkey))
        set_to = service.environment
        set_to["DATABASE_URL"] = set_to["DATABASE_URL"].replace(f":{stack.postgres.port}", f":{postgres.port}")
        # A user without a password is let in with any (Valkey's documentation, AUTH).
        valkey_url = set_to["REDIS_URL"].replace(f":{stack.valkey.port}", f":{valkey.port}")
        set_to["REDIS_URL"] = valkey_url.replace("redis://", f"redis://default:{VALKEY_PASSWORD}@")
        # The preferred server is never there, which is told at every mail; the second one has no need of a password.
        absent = f"smtp://mailer:{SMTP_PASSWORD}@127.0.0.1:{free_port()}"
        set_to["SMTP_URL"] = f"{absent},{mailbox.url}"
        service.start()
        try:
            yield service, ways
        finally:
            service.kill()


def test_row_60_no_secret_of_operator_or_user_is_in_a_log_or_an_answer(
    told: tuple[Service, ExitStack], stack: Stack, mailbox: Mailbox
) -> None:
    service, ways = told
    operators = {SECRET_KEY, SMTP_PASSWORD, VALKEY_PASSWORD, urlsplit(stack.postgres.url()).password or ""}
    assert "" not in operators
    with service.client() as client:
        walk = Listener(client, mailbox)
        live(walk)
        for path in ("/health/ready", "/health/live", "/metrics", "/openapi.json", "/docs", "/.well-known/jwks.json"):
            assert client.get(path).status_code == 200, path
        person = new_person("refused")
        mailbox.reply = lambda address: "550 5.1.1 no such user" if address == person.email else None
        walk.post("/register", email=person.email, login=person.login, password=person.password)
        ways.close()
        # Now both servers refuse every connection, in words of their libraries that hold their addresses.
        for path, body in {
            "/login": {"login": person.login, "password": CANARY},
            "/recover": {"email": person.email},
            "/recover/confirm": {"session_key": "A" * 64, "code": "123456789012"},
        }.items():
            assert walk.post(path, **body).status_code == 503, path
        assert client.get("/health/ready").status_code == 503
    mailbox.reply = lambda _: None
    log = service.log()
    assert "unavailable" in log
    needles = {secret.encode() for secret in operators | {CANARY} | {person.password}}
    places = walk.heard() | {"the log": log.encode()}
    assert len(places) > 100
    assert found_in(places, needles) == []
    # What callers hold in their hands is told to them alone, and only where it is due; in the log it never is.
    held = {text.encode() for text in walk.secrets.texts | walk.secrets.codes} | walk.secrets.raw
    assert found_in({"the log": log.encode()}, held) == []
    # Passwords and codes go in, and never come out.
    typed = {secret for secret in held if secret.startswith(b"Canary") or (len(secret) == 12 and secret.isdigit())}
    assert len(typed) >= 5
    assert found_in(walk.heard(), typed) == []
    for name, answer in walk.answers:
        assert "server" not in answer.headers, name
        assert "x-powered-by" not in answer.headers, name
        if answer.status_code >= 400:
            assert not {
                word for word in ("traceback", "uvicorn", "sqlalchemy", "asyncpg") if word in answer.text.lower()
            }


def test_row_60_settings_that_cannot_be_used_are_told_without_their_values(stack: Stack, tmp_path: Path) -> None:
    good = Service(stack, "never-made", 251, tmp_path).environment
    wrong = {
        "SECRET_KEYS": f"{CANARY}-short",
        "DATABASE_URL": f"mysql://user:{CANARY}@127.0.0.1/x",
        "REDIS_URL": f"http://:{CANARY}@127.0.0.1/",
        "SMTP_URL": f"ftp://user:{CANARY}@127.0.0.1",
    }
    # A password whose special characters were not escaped, so that a part of it stands where a port should.
    unescaped = {
        "DATABASE_URL": f"postgresql://user:a@b:{CANARY}@127.0.0.1/x",
        "REDIS_URL": f"redis://:{CANARY}/x@127.0.0.1/0",
        "SMTP_URL": f"smtp://user:{CANARY}/x@127.0.0.1",
    }
    cases = [wrong, *({name: url} for name, url in unescaped.items())]
    for case in cases:
        done = subprocess.run(
            [sys.executable, "main.py", "serve", "--port", str(free_port())],
            cwd=ROOT,
            env={**good, **case},
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
        said = done.stdout + done.stderr
        assert done.returncode != 0, case.keys()
        assert CANARY not in said, said
        # Whoever has to mend it learns where.
        assert [name for name in case if name not in said] == [], said


def test_row_60_a_line_end_in_what_a_caller_sends_makes_no_line_of_the_log(serving: Serving) -> None:
    forged = 'x\r\n{"level": "info", "message": "forged"}\r\nforged'
    with serving(workers=2) as service:
        with service.client() as client:
            for path, field in (("/login", "login"), ("/register", "login"), ("/recover", "email")):
                for value in (forged, f"{forged}@example.com", "a\u2028forged", "a\x0b\x0cforged", "\x1b[2Jforged"):
                    body = {"email": "a@example.com", "login": "alice", "password": "a fine one"} | {field: value}
                    keys = {"/login": ("login", "password"), "/recover": ("email",)}.get(path, tuple(body))
                    answer = client.post(path, json={key: body[key] for key in keys})
                    assert answer.status_code == 422
                    assert "forged" not in answer.text
            for path in ("/x%0d%0aforged", "/login%0aforged", "/me?%0d%0aforged=1", "/%1b[2Jforged"):
                assert client.get(path).status_code in (401, 404)
            for name in ("User-Agent", "X-Request-Id", "Accept-Language", "X-Device", "Referer"):
                client.get("/me", headers={name: "x\tforged"})
        for request in (b"forged\r\n\r\n", b"GET /\nforged HTTP/1.1\r\n\r\n", b"\x16\x03\x01forged\r\n\r\n"):
            refused = send(service, request)
            assert refused.status == 400
            assert "server:" not in refused.head.lower()
        lines = service.log().splitlines()
        assert lines, "the start alone is worth a line"
        # Each line is one record of ours, and no record repeats what was sent.
        assert {type(json.loads(line)) for line in lines} == {dict}
        assert [line for line in lines if "forged" in line] == []


def test_row_60_trace_is_refused_wherever_it_is_sent(client: httpx.Client) -> None:
    paths = [*client.get("/openapi.json").json()["paths"], "/docs", "/openapi.json"]
    for path in paths:
        answer = client.request("TRACE", path, headers={"Cookie": CANARY, "Authorization": f"Bearer {CANARY}"})
        assert answer.status_code == 405, path
        assert CANARY not in answer.text + str(answer.headers)


@pytest.mark.parametrize(
    "origin", [FOREIGN, "null", "http://localhost:8000", f"{FRIEND}.evil.test", "https://example.com"]
)
def test_row_60_no_foreign_origin_is_let_in(
    origin: str, serving: Serving, client: httpx.Client, opened: Service
) -> None:
    with opened.client() as friendly:
        for calling in (client, friendly):
            for answer in _as_a_browser(calling, origin):
                names = {name.lower() for name in answer.headers}
                assert "access-control-allow-origin" not in names, answer.request
    # The one that was named is let in, or else nobody ever is.
    with opened.client() as friendly:
        assert {answer.headers.get("Access-Control-Allow-Origin") for answer in _as_a_browser(friendly, FRIEND)} == {
            FRIEND
        }


opened = service_fixture(CORS_ORIGINS=FRIEND)
"""A service that one origin may call."""


def _as_a_browser(client: httpx.Client, origin: str) -> list[httpx.Response]:
    """What a page of this origin sends: questions whether it may, and calls."""
    asks = {"Origin": origin, "Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "content-type"}
    return [
        client.options("/login", headers=asks),
        client.options("/me", headers={**asks, "Access-Control-Request-Method": "GET"}),
        client.post("/login", json={"login": "nobody", "password": "a fine one"}, headers={"Origin": origin}),
        client.get("/me", headers={"Origin": origin}),
        client.get("/.well-known/jwks.json", headers={"Origin": origin}),
    ]
