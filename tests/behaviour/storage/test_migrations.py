"""The migrations: they go up and down, and end at the schema that the code speaks of."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from devstack.stack import Stack
from tests.support.service.process import ROOT, Service


@pytest.fixture
def empty(stack: Stack, tmp_path: Path) -> Iterator[Service]:
    """The settings of a service whose database is empty."""
    stack.postgres.create_database("empty")
    yield Service(stack, "empty", 0, tmp_path)
    stack.postgres.drop_database("empty")


def _run(service: Service, *command: str) -> str:
    done = subprocess.run(
        [sys.executable, *command], cwd=ROOT, env=service.environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_migrations_make_the_schema_of_the_code_and_go_down_to_nothing_and_up_again(empty: Service) -> None:
    for _ in range(2):
        _run(empty, "main.py", "migrate")
        assert "No new upgrade operations" in _run(empty, "-m", "alembic", "check")
        _run(empty, "main.py", "migrate", "base", "--down")


def test_two_processes_that_migrate_at_once_do_not_collide(empty: Service) -> None:
    both = [
        subprocess.Popen(
            [sys.executable, "main.py", "migrate"], cwd=ROOT, env=empty.environment, stderr=subprocess.PIPE
        )
        for _ in range(2)
    ]
    for process in both:
        _, complaint = process.communicate(timeout=60)
        assert process.returncode == 0, complaint.decode()
