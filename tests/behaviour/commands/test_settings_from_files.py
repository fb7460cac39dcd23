"""A setting may stand in a file that NAME_FILE names, as Docker's secrets do."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.service.commands import run
from tests.support.service.process import Service


@pytest.mark.parametrize("name", ["SECRET_KEYS", "DATABASE_URL", "MAIL_FROM", "SERVICE_CLIENTS", "LADDER_4"])
def test_every_setting_may_stand_in_a_file(name: str, service: Service, tmp_path: Path) -> None:
    value = {"LADDER_4": "canary"}.get(name, service.environment.get(name, ""))
    file = tmp_path / "file"
    file.write_text(f"{value}\n")
    done = run(service, "check-config", **{name: "", f"{name}_FILE": str(file)})
    # What is wrong in a file is told like anything else; what is right there is as good as in the environment.
    assert done.returncode == (2 if name == "LADDER_4" else 0), done.stderr
    assert ("LADDER_4: " in done.stderr) == (name == "LADDER_4")
    assert "canary" not in done.stderr


def test_files_that_cannot_be_read_and_settings_given_twice_are_told_with_all_else(
    service: Service, tmp_path: Path
) -> None:
    (tmp_path / "canary").write_bytes(b"\xff\xfe canary")
    done = run(
        service,
        "check-config",
        SECRET_KEYS="",
        SECRET_KEYS_FILE=str(tmp_path / "canary-is-missing"),
        REDIS_URL="",
        REDIS_URL_FILE=str(tmp_path / "canary"),
        DATABASE_URL_FILE=str(tmp_path / "canary"),
        CODE_DIGITS="3",
    )
    assert done.returncode == 2
    for name in ("SECRET_KEYS_FILE", "REDIS_URL_FILE", "DATABASE_URL_FILE", "CODE_DIGITS"):
        assert name in done.stderr
    assert "canary" not in done.stderr
    assert "required" not in done.stderr
    assert "Traceback" not in done.stderr


def test_files_of_other_programs_and_empty_names_are_not_ours(service: Service) -> None:
    nothing = {"SSL_CERT_FILE": "/nonexistent", "DATABASE_FILE": "/nonexistent", "TOKEN_FILE": "/nonexistent"}
    assert run(service, "check-config", **nothing).returncode == 0
