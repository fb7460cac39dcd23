"""How the service starts when something is wrong."""

from __future__ import annotations

import socket
import subprocess
import sys

from devstack.stack import Stack
from tests.support.service.process import ROOT, Service


def _try_to_serve(service: Service, *options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "main.py", "serve", "--port", str(service.port), *options]
    return subprocess.run(
        command, cwd=ROOT, env=service.environment, capture_output=True, text=True, timeout=30, check=False
    )


def test_every_problem_of_the_settings_is_told_at_once_by_name_and_without_values(unstarted: Service) -> None:
    del unstarted.environment["DATABASE_URL"]
    unstarted.environment |= {"SECRET_KEYS": "canary-too-short", "CODE_DIGITS": "3", "SMTP_URL": "ftp://canary"}
    done = _try_to_serve(unstarted)
    assert done.returncode != 0
    for name in ("DATABASE_URL", "SECRET_KEYS", "CODE_DIGITS", "SMTP_URL"):
        assert name in done.stderr
    assert "canary" not in done.stderr + done.stdout
    assert "Traceback" not in done.stderr


def test_cheap_hashes_need_a_word_that_this_is_development(unstarted: Service) -> None:
    unstarted.environment["ENVIRONMENT"] = "production"
    done = _try_to_serve(unstarted)
    assert done.returncode != 0
    assert "HASH_ITERATIONS" in done.stderr


def test_a_taken_port_is_told_and_not_shared(unstarted: Service) -> None:
    with socket.create_server(("127.0.0.1", unstarted.port)):
        for workers in ("1", "2"):
            done = _try_to_serve(unstarted, "--workers", workers)
            assert done.returncode != 0
            assert f"127.0.0.1:{unstarted.port}" in done.stderr
            assert "Traceback" not in done.stderr


def test_a_database_without_tables_is_told_with_what_to_do(unstarted: Service, stack: Stack) -> None:
    stack.postgres.create_database("tableless")
    unstarted.environment["DATABASE_URL"] = stack.postgres.url("tableless")
    done = _try_to_serve(unstarted)
    assert done.returncode != 0
    assert "python main.py migrate" in done.stderr


def test_variables_that_happen_to_be_called_like_a_group_of_settings_are_not_ours(unstarted: Service) -> None:
    # Login shells set MAIL, and CI systems set TOKEN.
    unstarted.environment |= {"MAIL": "/var/mail/alice", "TOKEN": "x", "CODE": "1", "REDIS": "y", "HASH": "sha1"}
    unstarted.start(new_interpreter=True)
    assert unstarted.stop() == 0


def test_the_database_may_be_asked_to_encrypt_or_not(unstarted: Service) -> None:
    plain = unstarted.environment["DATABASE_URL"]
    unstarted.environment["DATABASE_URL"] = f"{plain}?sslmode=disable"
    unstarted.start(new_interpreter=True)
    assert unstarted.stop() == 0
    # The server of the tests has no certificate: whoever insists on one is not served without.
    unstarted.environment["DATABASE_URL"] = f"{plain}?sslmode=require"
    assert _try_to_serve(unstarted).returncode != 0
    unstarted.environment["DATABASE_URL"] = f"{plain}?prepared_statement_cache_size=0"
    assert "DATABASE_URL: may have the parameter ?sslmode" in _try_to_serve(unstarted).stderr


def test_workers_that_cannot_come_up_are_not_started_for_ever(unstarted: Service, stack: Stack) -> None:
    stack.postgres.create_database("tableless_too")
    unstarted.environment["DATABASE_URL"] = stack.postgres.url("tableless_too")
    assert _try_to_serve(unstarted, "--workers", "2").returncode == 1


def test_secret_keys_that_do_not_open_what_is_stored_are_told_by_name(unstarted: Service) -> None:
    unstarted.start(new_interpreter=True)
    unstarted.stop()
    unstarted.environment["SECRET_KEYS"] = "another-key-of-more-than-32-characters"
    done = _try_to_serve(unstarted)
    assert done.returncode != 0
    assert "SECRET_KEYS" in done.stderr
