"""Users move out into a file that moves them in again."""

from __future__ import annotations

import json
import signal
import stat
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from devstack.stack import Stack
from tests.support.service.commands import Terminal, run, running
from tests.support.service.process import Service
from tests.support.state.database_inspector import DatabaseInspector, inspect_database
from tests.support.state.eventually import eventually
from tests.support.values.imported_hashes import each_form

COLUMNS = (
    "id, email, login, login_canonical, password_hash, locale, version, blocked_at IS NOT NULL AS blocked, created_at"
)
EVERYBODY = (
    f"SELECT {COLUMNS}, ARRAY(SELECT role FROM user_roles WHERE user_id = id ORDER BY role) FROM users ORDER BY id"
)


def lines(count: int) -> str:
    """People of every kind."""
    hashes = [None, "!no-password", *each_form("correct horse battery staple").values()]
    users = (
        {
            "email": f"user-{number}@example.com",
            "login": f"User-{number}",
            "password_hash": hashes[number % len(hashes)],
            "locale": ("en", "ru")[number % 2],
            "roles": [["user"], [], ["admin", "user"]][number % 3],
            "blocked": number % 5 == 0,
            "created_at": f"2020-01-01T00:00:00.{number:06}Z",
        }
        for number in range(count)
    )
    return "".join(json.dumps(user) + "\n" for user in users)


@pytest.fixture(scope="module")
def service(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A database with people in it; nobody serves it."""
    stack.postgres.create_database("leaving", template="migrated")
    leaving = Service(stack, "leaving", 253, tmp_path_factory.mktemp("leaving"))
    assert run(leaving, "import-users", "-", stdin=lines(2_500)).returncode == 0
    yield leaving
    stack.postgres.drop_database("leaving")


def test_an_export_moved_into_an_empty_database_is_the_same_users(
    service: Service, db: DatabaseInspector, unstarted: Service, tmp_path: Path
) -> None:
    file = tmp_path / "users.ndjson"
    done = run(service, "export-users", str(file))
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "2,500 users exported.\n")
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert [*tmp_path.iterdir()] == [file]
    done = run(unstarted, "import-users", str(file))
    assert (done.returncode, done.stderr) == (0, "Done. 2,500 imported, 0 already there, 0 refused.\n")
    with inspect_database(unstarted) as there:
        assert there.rows(EVERYBODY) == db.rows(EVERYBODY)
    piped = run(unstarted, "export-users")
    assert piped.stdout.encode() == file.read_bytes()


def test_a_file_that_is_there_is_replaced_on_demand_alone(service: Service, tmp_path: Path) -> None:
    file = tmp_path / "users.ndjson"
    file.write_text("mine")
    done = run(service, "export-users", str(file))
    assert done.returncode == 1
    assert "exists already; --force replaces it" in done.stderr
    assert file.read_text() == "mine"
    assert run(service, "export-users", "--force", str(file)).returncode == 0
    assert len(file.read_text().splitlines()) == 2_500
    nowhere = run(service, "export-users", str(tmp_path / "no folder" / "users.ndjson"))
    assert nowhere.returncode == 1
    assert "No such file or directory" in nowhere.stderr
    assert "Traceback" not in nowhere.stderr


def test_it_is_one_moment_of_the_database_however_long_it_takes(service: Service, db: DatabaseInspector) -> None:
    with running(service, "export-users", "-") as process:
        assert process.stdout
        first = process.stdout.readline()
        # The pipe is full, and the command waits; meanwhile somebody leaves.
        db.rows("UPDATE users SET locale = 'ru'")
        rest = process.stdout.read().splitlines()
        assert process.wait(20) == 0
    assert json.loads(first)["locale"] == "en"
    assert sum(json.loads(user)["locale"] == "en" for user in [first, *rest]) == 1_250
    db.rows("UPDATE users SET locale = 'en'")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_at_once_and_leaves_no_file(
    number: signal.Signals, service: Service, db: DatabaseInspector, tmp_path: Path
) -> None:
    db.rows("BEGIN")
    db.rows("LOCK TABLE users IN ACCESS EXCLUSIVE MODE")
    with running(service, "export-users", str(tmp_path / "users.ndjson")) as process:
        assert process.stderr
        eventually(lambda: db.value("SELECT count(*) FROM pg_locks WHERE NOT granted") == 1, within=20)
        process.send_signal(number)
        assert process.wait(5) == 128 + number
        assert process.stderr.read() == b"Interrupted after 0 users; no file was written.\n"
    db.rows("COMMIT")
    assert [*tmp_path.iterdir()] == []


@pytest.mark.parametrize("seconds", [0, 0.004, 0.008, 0.016, 0.032])
def test_a_signal_ends_it_while_nobody_reads_what_it_writes(seconds: float, service: Service) -> None:
    with running(service, "export-users") as process:
        assert process.stdout
        assert process.stderr
        process.stdout.read(1)
        # By then more and more of it waits for a reader.
        time.sleep(seconds)
        process.send_signal(signal.SIGTERM)
        assert process.wait(5) == 143
        assert b"the output is not complete" in process.stderr.read()


def test_at_a_terminal_a_bar_grows(service: Service, tmp_path: Path) -> None:
    terminal = Terminal(service, "export-users", str(tmp_path / "users.ndjson"))
    assert terminal.end() == 0
    assert "Exporting  [" in terminal.seen
    assert "2,000 users" in terminal.seen
    assert "2,500 users exported." in terminal.seen
