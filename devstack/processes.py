"""Child processes that never outlive us: started, stopped, and found again when a killed run left them behind."""

import hashlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import IO

LAUNCHER = Path(__file__).with_name("launcher.py")

# The kernel sends the death signal when the *thread* that started a child ends (prctl(2)). So one thread that lives as
# long as the process starts them all: a server that a short-lived thread asked for stays alive.
_SPAWNER = ThreadPoolExecutor(max_workers=1, thread_name_prefix="devstack-spawner")


class DevstackError(RuntimeError):
    """What went wrong and what to do, in words for the person at the terminal."""


def spawn(  # noqa: PLR0913  each says one thing about the child, by name
    command: Sequence[str],
    *,
    folder: Path,
    stdout: int | IO[bytes] | None,
    stderr: int | IO[bytes] | None = subprocess.STDOUT,
    account: str = "own",
    death_signal: signal.Signals = signal.SIGKILL,
    environment: Mapping[str, str] | None = None,
) -> subprocess.Popen[bytes]:
    """Start a program in a session of its own, so that Ctrl-C reaches only us; it gets `death_signal` when we die."""
    orders = [str(os.getpid()), str(int(death_signal)), account, str(folder)]
    return _SPAWNER.submit(
        subprocess.Popen[bytes],
        [sys.executable, "-I", "-S", str(LAUNCHER), *orders, *command],
        stdin=subprocess.DEVNULL,
        stdout=stdout,
        stderr=stderr,
        # From the root folder: a relative working directory may be out of reach for the account to be taken.
        cwd="/",
        env=environment,
        start_new_session=True,
    ).result()


def stop(process: subprocess.Popen[bytes], ask: signal.Signals, patience: float) -> None:
    """Ask the process to end; when its patience is over, kill it with everything in its process group."""
    if process.poll() is None:
        process.send_signal(ask)
        with suppress(subprocess.TimeoutExpired):
            process.wait(patience)
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def mark_of(folder: Path) -> str:
    """Tell a word that only the servers of this folder carry in their command lines, so that they are found again."""
    return f"devstack-{hashlib.sha256(os.fsencode(folder)).hexdigest()[:16]}"


def living(program: str, mark: str) -> list[int]:
    """Tell the processes of `program` that carry `mark` in their command line."""
    return [
        pid
        for pid, arguments in _command_lines()
        # A server shows the path it was started by or, as PostgreSQL's children do, a title: "postgres: mark: writer".
        if (arguments[0].endswith(f"/{program}") or arguments[0].startswith(f"{program}: "))
        and any(mark in argument for argument in arguments)
    ]


def end_all(program: str, mark: str, ask: signal.Signals, patience: float = 5) -> None:
    """End every living process of `program` with `mark`: ask first, kill those that are left when patience is over."""
    deadline = time.monotonic() + patience
    chosen = ask
    asked: set[tuple[int, signal.Signals]] = set()
    while pids := living(program, mark):
        if time.monotonic() > deadline:
            chosen = signal.SIGKILL
        if time.monotonic() > deadline + 10:
            raise DevstackError(f"{program} does not end, not even when killed; its processes are {pids}.")
        for pid in pids:
            if (pid, chosen) not in asked:
                asked.add((pid, chosen))
                _send(pid, chosen, program)
        time.sleep(0.02)


def _send(pid: int, what: signal.Signals, program: str) -> None:
    with suppress(ProcessLookupError):
        try:
            os.kill(pid, what)
            # A stopped process keeps every signal but SIGKILL waiting until it goes on.
            os.kill(pid, signal.SIGCONT)
        except PermissionError:
            raise DevstackError(
                f"{program} (process {pid}) was left behind by a run under another account. "
                f"Stop it as that account, or as root: kill {pid}"
            ) from None


def _command_lines() -> Iterator[tuple[int, list[str]]]:
    """Tell the command line of every process; those that have ended and wait to be collected have none."""
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            line = (folder / "cmdline").read_bytes().decode(errors="surrogateescape")
            if line:
                yield int(folder.name), line.split("\0")
