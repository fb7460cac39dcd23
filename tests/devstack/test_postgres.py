"""PostgreSQL: what its object promises to the tests and to `make run`."""

from __future__ import annotations

import asyncio
import os
import stat
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from devstack.postgres import Postgres
from devstack.processes import DevstackError

Ask = Callable[..., Any]


def test_data_survive_a_restart_a_crash_and_an_immediate_stop_on_one_port(postgres: Postgres, ask: Ask) -> None:
    url = postgres.url("postgres")
    ask(url, "CREATE TABLE kept (word text)")
    for leave in (postgres.stop, postgres.kill, lambda: postgres.stop("immediate")):
        ask(url, "INSERT INTO kept VALUES ('here')")
        leave()
        with pytest.raises(ConnectionRefusedError):
            ask(url, "SELECT 1")
        postgres.start()
    assert postgres.url("postgres") == url
    assert ask(url, "SELECT count(*) FROM kept") == 3


def test_a_crash_leaves_no_process(postgres: Postgres, tmp_path: Path, left_running: Callable[..., list[str]]) -> None:
    assert left_running(tmp_path, 0)
    postgres.kill()
    assert left_running(tmp_path) == []


def test_a_stale_note_that_names_another_process_does_not_prevent_the_start(postgres: Postgres, ask: Ask) -> None:
    note = postgres.data / "postmaster.pid"
    lines = note.read_text().splitlines()
    postgres.kill()
    note.write_text("\n".join([str(os.getpid()), *lines[1:]]))
    postgres.start()
    assert ask(postgres.url("postgres"), "SELECT 1") == 1


def test_a_database_is_copied_from_its_template_and_dropped_under_its_users(postgres: Postgres, ask: Ask) -> None:
    postgres.create_database("pattern")
    ask(postgres.url("pattern"), "CREATE TABLE copied (word text)")
    postgres.create_database('a "copy"', template="pattern")
    assert postgres.has_database('a "copy"')
    assert ask(postgres.url("a%20%22copy%22"), "SELECT count(*) FROM copied") == 0

    async def drop_while_connected() -> None:
        # The synchronous calls work inside a running event loop.
        connection = await asyncpg.connect(postgres.url("pattern"))
        postgres.drop_database("pattern")
        with pytest.raises((asyncpg.PostgresError, asyncpg.InterfaceError, OSError)):
            await connection.fetchval("SELECT 1")

    asyncio.run(drop_while_connected())
    assert not postgres.has_database("pattern")


@pytest.mark.parametrize("durable", [True, False])
def test_the_settings_are_as_promised(*, durable: bool, tmp_path: Path, ask: Ask) -> None:
    server = Postgres(tmp_path / "postgres", durable=durable)
    server.start()
    try:
        url = server.url("postgres")
        expected = {
            "fsync": "on" if durable else "off",
            "synchronous_commit": "on",
            "max_connections": "200",
            "shared_buffers": "64MB",
            "TimeZone": "UTC",
            "server_encoding": "UTF8",
            "listen_addresses": "127.0.0.1",
            "unix_socket_directories": "",
            "password_encryption": "scram-sha-256",
            "log_error_verbosity": "terse",
        }
        assert {name: ask(url, f"SHOW {name}") for name in expected} == expected
        assert ask(url, "SHOW server_version").startswith("18.")
        assert ask(url, "SELECT lower('ÄÉЖ')") == "äéж"
        assert stat.S_IMODE((server.folder / "password").stat().st_mode) == 0o600
        with pytest.raises(asyncpg.InvalidPasswordError):
            ask(f"postgresql://auth:guess@127.0.0.1:{server.port}/postgres", "SELECT 1")
    finally:
        server.stop()


def test_a_server_outlives_the_thread_that_started_it(prepared: Path, ask: Ask) -> None:
    server = Postgres(prepared / "postgres", durable=False)
    starter = threading.Thread(target=server.start)
    starter.start()
    starter.join()
    try:
        ask(server.url("postgres"), "SELECT pg_sleep(0.3)")
        server.check()
    finally:
        server.stop("immediate")


def test_a_start_that_fails_shows_the_end_of_the_log(postgres: Postgres) -> None:
    postgres.stop()
    (postgres.data / "postgresql.conf").write_text("nonsense = 1\n")
    with pytest.raises(DevstackError, match="unrecognized configuration parameter"):
        postgres.start()
