"""Folders and files of the stack: closed to other accounts, and locked against a second run."""

from __future__ import annotations

import fcntl
import os
import secrets
import time
from collections import deque
from pathlib import Path

from devstack.processes import DevstackError


def private_folder(path: Path) -> Path:
    """Make the folder, closed to others, unless it exists; a folder that exists keeps its mode."""
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    return path


def hold(folder: Path) -> int:
    """Lock a folder for a server; return the lock, an open file for the server's processes to inherit.

    The kernel keeps the lock until the last of these processes has ended, however it ends. So a server never starts
    beside what is left of its killed predecessor.

    Raises:
        DevstackError: another run uses the folder.
    """
    lock = os.open(private_folder(folder) / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    deadline = time.monotonic() + 10
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(lock, 20, 0).decode()
            # Without a living holder, what is left of a killed run is about to end.
            if (holder and Path("/proc", holder).exists()) or time.monotonic() > deadline:
                os.close(lock)
                by = f" (process {holder})" if holder else ""
                raise DevstackError(
                    f"{folder} is in use by another run{by}. Stop that one first, or choose another folder, such as "
                    "DATA=.data2."
                ) from None
            time.sleep(0.02)
        else:
            os.ftruncate(lock, 0)
            os.pwrite(lock, str(os.getpid()).encode(), 0)
            return lock


def release(lock: int) -> None:
    """Give up our share of a lock; processes that inherited it keep theirs."""
    os.ftruncate(lock, 0)
    os.close(lock)


def kept_secret(path: Path) -> str:
    """Return the random secret that the file keeps; the first call makes it."""
    if not path.exists():
        write_privately(path, secrets.token_urlsafe(32))
    return path.read_text()


def write_privately(path: Path, text: str) -> None:
    """Write a file that its owner alone can read; meanwhile, readers find the old file or the new one."""
    draft = path.with_suffix(".draft")
    draft.unlink(missing_ok=True)
    draft.touch(0o600, exist_ok=False)
    draft.write_text(text)
    draft.rename(path)


def end_of(log: Path) -> str:
    """Return the last lines of a log, for a message at the terminal."""
    with log.open(errors="replace") as file:
        # A traceback in one line has thousands of characters.
        return "\n    ".join([f"The end of {log}:", *(line.rstrip()[:300] for line in deque(file, maxlen=12))])
