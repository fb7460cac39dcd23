"""What an operator does on the command line beside serving."""

from __future__ import annotations

import json
from collections.abc import Iterator

import jwt
import pytest

from commands.settings_page import page
from tests.conftest import Serving
from tests.support.service.commands import run
from tests.support.service.process import ROOT, Service
from tests.support.state.eventually import eventually
from tests.support.users.flows import outcome
from tests.support.users.people import Tokens, new_person


@pytest.fixture
def watchful(serving: Serving) -> Iterator[Service]:
    """Two processes that look for new keys every second."""
    with serving(workers=2, KEY_REFRESH_INTERVAL="1") as running:
        yield running


def kids(service: Service) -> list[str]:
    return [key["kid"] for key in service.get("/.well-known/jwks.json").json()["keys"]]


def test_a_key_is_changed_before_its_time_and_nobody_notices(watchful: Service) -> None:
    [old] = kids(watchful)
    with watchful.walker() as walk:
        walk.register(person := new_person("rotated"))
        tokens = walk.open_session(person)
        done = run(watchful, "rotate-keys")
        assert done.returncode == 0, done.stderr
        # The two processes read the ring at moments of their own.
        eventually(lambda: all(len(kids(watchful)) == 2 for _ in range(20)), within=10)
        new = next(kid for kid in kids(watchful) if kid != old)
        assert f"Key {new} is published, and signs in 302 s." in done.stdout
        assert walk.me(tokens.access).status_code == 200
        assert jwt.get_unverified_header(Tokens.of(walk.refresh(tokens.refresh)).access)["kid"] == old
        # Once more: the next key is waiting already.
        again = run(watchful, "rotate-keys")
        assert f"Key {new} is published" in again.stdout
        assert len(kids(watchful)) == 2


def test_a_key_that_has_leaked_is_worth_nothing_a_moment_later(watchful: Service) -> None:
    [old] = kids(watchful)
    with watchful.walker() as walk:
        walk.register(person := new_person("leaked"))
        tokens = walk.open_session(person)
        assert walk.me(tokens.access).status_code == 200
        done = run(watchful, "rotate-keys", "--leaked")
        assert done.returncode == 0, done.stderr
        # The two processes read the ring at moments of their own.
        eventually(lambda: all(old not in kids(watchful) for _ in range(20)), within=10)
        [new] = kids(watchful)
        assert f"Key {new} signs from now on" in done.stdout
        assert {outcome(walk.me(tokens.access)) for _ in range(5)} == {(401, "invalid_token")}
        # The session lives; its bearer refreshes.
        successor = Tokens.of(walk.refresh(tokens.refresh))
        assert jwt.get_unverified_header(successor.access)["kid"] == new
        assert walk.me(successor.access).status_code == 200


def test_without_postgresql_it_says_so(service: Service) -> None:
    done = run(service, "rotate-keys", DATABASE_URL="postgresql://nobody@127.0.0.1:1/nothing")
    assert done.returncode == 1
    assert "DATABASE_URL" in done.stderr
    assert "Traceback" not in done.stderr


def test_good_settings_are_said_to_be_good_and_nothing_is_connected_to(service: Service) -> None:
    away = {"DATABASE_URL": "postgresql://nobody@127.0.0.1:1/nothing", "REDIS_URL": "redis://127.0.0.1:1"}
    done = run(service, "check-config", **away)
    assert (done.returncode, done.stderr) == (0, "")
    assert service.environment["ISSUER"] in done.stdout


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("KEY_LIFE", "100"),
        ("KEY_ALGORITHM", "HS256"),
        ("KEY_MAX_AGE", "0"),
        ("SESSION_MAX", "0"),
        ("REFRESH_REUSE_INTERVAL", "-1"),
        ("SERVICE_CLIENTS", "canary"),
        ("SERVICE_CLIENTS", "reports:canary"),
        ("SERVICE_CLIENTS", ":" + "0" * 64),
        ("SERVICE_CLIENTS", f"twice:{'0' * 64},twice:{'1' * 64}"),
        ("LIMIT_REFRESHES", "canary"),
        ("ISSUER", "https://canary.example.com/"),
        ("ISSUER", "https://canary.example.com?x=1"),
        ("ISSUER", "canary.example.com"),
        ("THERMOSTAT_LOGIN", "100,canary,500,5000"),
        ("THERMOSTAT_RECOVER", "0,500,5000"),
        ("DATABASE_URL", "postgresql://canary/auth?sslmode=canary"),
        ("REDIS_URL", "redis://canary?max_connections=canary"),
        ("SMTP_URL", "smtp://"),
        ("SMTP_URL", f"smtp://canary.{'a' * 64}"),
        ("SMTP_URL", "smtp://canary/path"),
        ("SMTP_URL", "smtps://canary?ca=/canary.pem"),
    ],
)
def test_bad_settings_are_told_by_name_without_their_values(name: str, value: str, service: Service) -> None:
    done = run(service, "check-config", SECRET_KEYS="canary", **{name: value})
    assert done.returncode == 2
    assert name in done.stderr
    assert "SECRET_KEYS" in done.stderr
    assert "canary" not in done.stderr + done.stdout
    assert "Traceback" not in done.stderr


def test_the_description_on_the_command_line_is_the_one_that_is_served(service: Service) -> None:
    done = run(service, "openapi", DOCS="false")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == service.get("/openapi.json").json()


def test_the_page_of_settings_is_the_one_that_the_settings_make() -> None:
    """Else run: python main.py check-config --page > docs/settings.md."""
    assert page() == (ROOT / "docs" / "settings.md").read_text()
    for name in ("DATABASE_URL", "MAIL_FROM", "LADDER_4", "LIMIT_REGISTRATIONS", "AUDIT_RETENTION", "SECRET_KEYS"):
        assert f"| `{name}` |" in page()
