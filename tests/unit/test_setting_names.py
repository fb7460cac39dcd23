"""Settings of an older release end a start, misspelt ones are a warning, and other programs' variables are neither."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

import application
from commands.cli import cli
from config import Settings, setting_warnings
from models.settings.misspellings import misspelt_settings
from models.settings.nginx import EdgeSettings
from models.settings.sources import is_group, setting_fields

GOOD = {
    "DATABASE_URL": "postgresql://user:secret@localhost/auth",
    "REDIS_URL": "redis://localhost",
    "SMTP_URL": "smtp://localhost",
    "MAIL_FROM": "auth@example.com",
    "SECRET_KEYS": "0123456789abcdefghijklmnopqrstuvwxyz",
    "DOMAIN": "auth.example.com",
}

OLD_AND_NEW = {
    "SESSION_REPEAT": "REFRESH_REUSE_INTERVAL",
    "SESSION_MOST": "SESSION_MAX",
    "KEY_REREAD": "KEY_REFRESH_INTERVAL",
    "AUDIT_KEEP": "AUDIT_RETENTION",
    "MAIL_SERVICE": "SERVICE_NAME",
    "HASH_MAX_WAIT": "HASH_QUEUE_TIMEOUT",
}

COMMANDS = [
    ["check-config"],
    ["serve", "--port", "1"],
    ["worker"],
    ["migrate"],
    ["create-admin", "--email", "admin@example.com", "--login", "admin", "--generate"],
    ["export-users", "users.jsonl"],
    ["rotate-keys"],
    ["openapi"],
    ["init", "--into", "made"],
    ["init", "--check", "--into", "made"],
]


@pytest.fixture(autouse=True)
def _environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name, value in GOOD.items():
        monkeypatch.setenv(name, value)


def call(*arguments: str, **variables: str) -> Result:
    return CliRunner().invoke(cli, arguments, env=variables)


@pytest.mark.parametrize("suffix", ["", "_FILE"])
@pytest.mark.parametrize("in_file", [False, True])
def test_an_old_name_is_refused_and_names_the_new_one(suffix: str, *, in_file: bool) -> None:
    given = {f"{old}{suffix}": "canary" for old in OLD_AND_NEW}
    if in_file:
        Path(".env").write_text("".join(f"{name}={value}\n" for name, value in given.items()))
    done = call("check-config", **({} if in_file else given))
    assert done.exit_code == 2
    for old, new in OLD_AND_NEW.items():
        assert f"{old}{suffix}: was renamed to {new}{suffix}\n" in done.stderr
    assert "canary" not in done.output


def test_old_names_are_refused_with_all_other_problems_at_once() -> None:
    done = call("check-config", SESSION_REPEAT="10", AUDIT_KEEP="1", CODE_DIGITS="3", SECRET_KEYS="")
    assert done.exit_code == 2
    for name in ("SESSION_REPEAT", "AUDIT_KEEP", "CODE_DIGITS", "SECRET_KEYS"):
        assert done.stderr.count(f"{name}: ") == 1


def test_an_old_name_is_refused_beside_the_new_one() -> None:
    done = call("check-config", SESSION_MOST="3", SESSION_MAX="3")
    assert done.exit_code == 2


def test_an_empty_old_name_is_as_good_as_none() -> None:
    """A file for docker compose may pass on what is unset."""
    assert call("check-config", **dict.fromkeys(OLD_AND_NEW, "")).exit_code == 0


@pytest.mark.parametrize("arguments", COMMANDS, ids=" ".join)
def test_every_command_refuses_an_old_name(arguments: list[str]) -> None:
    done = call(*arguments, KEY_REREAD="30")
    assert done.exit_code == 2, done.output
    assert "KEY_REREAD: was renamed to KEY_REFRESH_INTERVAL" in done.stderr


@pytest.mark.parametrize(
    ("wrong", "nearest"),
    [
        ("TOKEN_TLL", "TOKEN_TTL"),
        ("LIMIT_LOGIN", "LIMIT_LOGINS"),
        ("LADDER_DEVICES", "LADDER_DEVICE"),
        ("THERMOSTAT_REGISTER", "THERMOSTAT_RECOVER"),
        ("SESSION_IDEL", "SESSION_IDLE"),
        ("MAIL_FORM", "MAIL_FROM"),
        ("HASH_THREAD", "HASH_THREADS"),
        ("DATABASE_URI", "DATABASE_URL"),
        ("TOKEN_TLL_FILE", "TOKEN_TTL_FILE"),
        ("TRUSTED_PROXY", "TRUSTED_PROXIES"),
        ("LIMITS_LOGINS", "LIMIT_LOGINS"),
        ("SECRET_KEY", "SECRET_KEYS"),
    ],
)
def test_the_warning_names_the_nearest_setting(wrong: str, nearest: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(wrong, "canary")
    assert setting_warnings() == [f"{wrong} is not a setting; did you mean {nearest}?"]


@pytest.mark.parametrize("in_file", [False, True])
def test_a_misspelt_name_is_a_warning(*, in_file: bool) -> None:
    if in_file:
        Path(".env").write_text("TOKEN_TLL=canary\n")
    done = call("check-config", **({} if in_file else {"TOKEN_TLL": "canary"}))
    assert done.exit_code == 0
    assert "Warning: TOKEN_TLL is not a setting; did you mean TOKEN_TTL?\n" in done.stderr
    assert "canary" not in done.output


def test_a_start_logs_the_warning(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setenv("TOKEN_TLL", "canary")
    monkeypatch.setitem(vars(application), "app", None)
    application.__getattr__("app")
    assert "TOKEN_TLL is not a setting; did you mean TOKEN_TTL?" in caplog.text


OF_OTHER_PROGRAMS = [
    *("SESSION_MANAGER", "KEY_ID", "KEY_FILE", "HASH_SALT", "CODE_SERVER_VERSION", "TOKEN_URL", "FLOW_ID"),
    *("MAIL_HOST", "MAIL_PORT", "MAIL_USER", "MAIL_FROM_NAME", "MAILCHECK", "MAIL", "DEVICE_NAME", "AUDIT_LOG"),
    *("SMTP_HOST", "SMTP_PORT", "SMTP_USER", "SMTP_PASSWORD", "SMTP_SERVICE_HOST"),
    *("DATABASE_HOST", "DATABASE_PORT", "DATABASE_USER", "DATABASE_NAME", "DATABASE_PASSWORD", "DATABASE_FILE"),
    *("REDIS_HOST", "REDIS_PORT", "REDIS_PASSWORD", "REDIS_SERVICE_PORT", "REDIS_PORT_6379_TCP", "REDIS_NAME"),
    *("POSTGRES_USER", "POSTGRES_DB", "POSTGRES_PASSWORD_FILE", "ACME_EMAIL", "SSL_CERT_FILE", "TOKEN_FILE"),
    *("HOSTNAME", "PATH", "LOG_LEVEL", "GIT_AUTHOR_NAME", "CI_COMMIT", "TEST_COUNTS"),
]


def test_a_variable_of_another_program_is_no_warning() -> None:
    done = call("check-config", **dict.fromkeys(OF_OTHER_PROGRAMS, "tcp://10.0.0.1:6379"))
    assert done.exit_code == 0
    assert done.stderr == ""


def test_the_settings_of_the_compose_file_are_no_warning() -> None:
    compose = (Path(__file__).parents[2] / "docker-compose.yaml").read_text()
    names = set(re.findall(r"\b[A-Z]+(?:_[A-Z]+)+\b", compose)) - {f"{name}_FILE" for name in GOOD}
    assert len(names) > 10
    known = {name.upper() for name in (*setting_fields(Settings), *setting_fields(EdgeSettings))}
    groups = {name.upper() for name, field in Settings.model_fields.items() if is_group(field)}
    assert list(misspelt_settings(names, known, groups)) == []
