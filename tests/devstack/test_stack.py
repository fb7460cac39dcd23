"""The three servers together: side by side with others, in any folder, and never twice in one."""

from __future__ import annotations

import smtplib
import stat
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from devstack.processes import DevstackError
from devstack.stack import Stack

Ask = Callable[..., Any]
LeftRunning = Callable[..., list[str]]

# A stack in a process of its own, which says when it is up and then waits to be killed.
HOLDER = """
import sys, time
from pathlib import Path
from devstack.stack import Stack
with Stack(Path(sys.argv[1]), durable=False) as stack:
    if len(sys.argv) > 2:
        stack.valkey.pause()
    print("up", flush=True)
    time.sleep(60)
"""


def modes_above(folder: Path) -> dict[Path, tuple[int, int]]:
    return {parent: (parent.stat().st_mode, parent.stat().st_uid) for parent in folder.parents}


def test_two_stacks_run_side_by_side_and_keep_their_data_apart(
    tmp_path: Path, prepared: Path, ask: Ask, left_running: LeftRunning
) -> None:
    with Stack(tmp_path / "one", durable=False) as one:
        ask(one.postgres.url(), "CREATE TABLE only_here (word text)")
        with Stack(prepared, durable=False) as two:
            assert ask(two.postgres.url(), "SELECT to_regclass('only_here')") is None
            addresses = {one.valkey.url(), two.valkey.url(), one.mailbox.url, two.mailbox.url}
            assert len(addresses) == 4
        assert left_running(prepared) == []
        assert ask(one.postgres.url(), "SELECT to_regclass('only_here')") == "only_here"
    assert left_running(tmp_path) == []
    with Stack(tmp_path / "one", durable=False) as again:
        assert ask(again.postgres.url(), "SELECT to_regclass('only_here')") == "only_here"


def test_a_long_path_with_odd_letters_below_a_closed_home_works_and_no_mode_above_changes(
    tmp_path: Path, ask: Ask
) -> None:
    home = tmp_path / "home"
    home.mkdir(mode=0o700)
    project = home / "a folder with 'quotes' and ünusual letters" / ("long" * 40)
    project.mkdir(parents=True)
    before = modes_above(project / ".data")
    with Stack(project / ".data", durable=False) as stack:
        assert ask(stack.postgres.url(), "SELECT 1") == 1
        assert modes_above(project / ".data") == before
        assert stat.S_IMODE(stack.data.stat().st_mode) == 0o700
    assert modes_above(project / ".data") == before


def test_a_second_stack_on_one_folder_is_refused_and_leaves_the_first_alone(prepared: Path, ask: Ask) -> None:
    with Stack(prepared, durable=False) as first:
        with pytest.raises(DevstackError, match="is in use by another run"), Stack(prepared, durable=False):
            pass
        assert ask(first.postgres.url(), "SELECT 1") == 1
        with smtplib.SMTP("127.0.0.1", first.mailbox.port, timeout=5) as client:
            assert client.noop()[0] == 250


@pytest.mark.parametrize("pause", [[], ["pause"]], ids=["", "with a paused Valkey"])
def test_servers_die_with_a_killed_supervisor_and_the_next_start_works(
    pause: list[str], prepared: Path, left_running: LeftRunning
) -> None:
    command = [sys.executable, "-c", HOLDER, str(prepared), *pause]
    supervisor = subprocess.Popen(command, stdout=subprocess.PIPE)
    assert supervisor.stdout is not None
    assert supervisor.stdout.readline() == b"up\n"
    supervisor.kill()
    supervisor.communicate()
    # At once, while the killed servers may still be ending.
    with Stack(prepared, durable=False):
        pass
    assert left_running(prepared) == []


@pytest.mark.parametrize("delay", [0.1, 0.6])
def test_a_start_that_is_killed_midway_does_not_stop_the_next(
    delay: float, tmp_path: Path, left_running: LeftRunning
) -> None:
    supervisor = subprocess.Popen([sys.executable, "-c", HOLDER, str(tmp_path)], stdout=subprocess.PIPE)
    time.sleep(0.3 + delay)
    supervisor.kill()
    supervisor.communicate()
    with Stack(tmp_path, durable=False):
        pass
    assert left_running(tmp_path) == []


def test_a_server_that_dies_is_noticed(prepared: Path, left_running: LeftRunning) -> None:
    with Stack(prepared, durable=False) as stack:
        stack.valkey.check()
        assert stack.valkey._process is not None
        stack.valkey._process.kill()
        stack.valkey._process.wait()
        with pytest.raises(DevstackError, match="Valkey has ended by itself with exit code -9"):
            stack.valkey.check()
    assert left_running(prepared) == []
