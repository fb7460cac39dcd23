"""Helpers of the devstack tests: real processes, looked for by their command lines and working folders."""

from __future__ import annotations

import asyncio
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from devstack.postgres import Postgres


@pytest.fixture
def ask() -> Callable[..., Any]:
    """Run a statement on the database at an address and return the first value of the first row."""

    async def alone(url: str, statement: str, *values: object) -> Any:
        connection = await asyncpg.connect(url, timeout=5)
        try:
            return await connection.fetchval(statement, *values)
        finally:
            await connection.close()

    return lambda url, statement, *values: asyncio.run(alone(url, statement, *values))


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a stopped PostgreSQL; a copy of it saves a test the making of one."""
    server = Postgres(tmp_path_factory.mktemp("made") / "postgres", durable=False)
    server.start()
    server.stop()
    return server.folder


@pytest.fixture
def prepared(tmp_path: Path, made: Path) -> Path:
    """A data folder in which PostgreSQL needs no making."""
    shutil.copytree(made, tmp_path / "data" / "postgres")
    return tmp_path / "data"


@pytest.fixture
def postgres(prepared: Path) -> Iterator[Postgres]:
    server = Postgres(prepared / "postgres", durable=False)
    server.start()
    yield server
    server.stop("immediate")


@pytest.fixture
def left_running() -> Callable[[Path], list[str]]:
    """List the processes that work for a data folder, after a moment for the dying to die."""

    def about(data: Path) -> list[str]:
        lines = []
        for process in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):
                line = (process / "cmdline").read_bytes().decode(errors="replace").replace("\0", " ")
                if str(data) in line or (process / "cwd").readlink().is_relative_to(data):
                    lines.append(line)
        return lines

    def patiently(data: Path, seconds: float = 5) -> list[str]:
        deadline = time.monotonic() + seconds
        while (lines := about(data)) and time.monotonic() < deadline:
            time.sleep(0.05)
        return lines

    return patiently
