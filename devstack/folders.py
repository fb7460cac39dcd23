"""Folders and files that belong to the stack alone: closed to others, locked against a second run."""

import fcntl
import os
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from types import TracebackType
from typing import Self

from devstack.processes import DevstackError

_LEGIBLE = 300
"""Letters of a line that a terminal is shown; a traceback in one line has thousands."""


def private_folder(path: Path) -> Path:
    """Make the folder, closed to others, unless it exists; no folder that exists changes its mode."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with suppress(FileExistsError):
        path.mkdir(mode=0o700)
    return path


def kept_secret(path: Path, make: Callable[[], str]) -> str:
    """Read the secret from its file, which is made at the first call and readable by its owner alone."""
    with suppress(FileNotFoundError):
        return path.read_text()
    write_privately(path, make())
    return path.read_text()


def write_privately(path: Path, text: str) -> None:
    """Write a file that its owner alone can read; whoever reads it meanwhile finds the old one or the new one."""
    draft = path.with_suffix(".draft")
    draft.unlink(missing_ok=True)
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
    draft.rename(path)


def package_folder(package: str) -> Path:
    """Find an installed package without importing it: what its import does on the side is none of our wishes."""
    spec = find_spec(package)
    if spec is None or spec.origin is None:
        raise DevstackError(f"{package} is not installed. Install requirements-dev.txt, or use `make run`.")
    return Path(spec.origin).parent


def end_of(log: Path, count: int = 12) -> str:
    """Tell the last lines of a log, for a message to a person."""
    try:
        with log.open(errors="replace") as file:
            lines = [f"    {line.rstrip()[:_LEGIBLE]}" for line in deque(file, count)]
    except FileNotFoundError:
        lines = []
    return "\n".join([f"The end of {log}:", *lines])


class FolderLock:
    """Holds a folder for one run; the kernel gives it free when the holder dies, however it dies."""

    def __init__(self, folder: Path) -> None:
        """Name the folder; nothing is touched yet."""
        self._folder = folder
        self._file: int | None = None

    def __enter__(self) -> Self:
        """Take the folder, or say who has it."""
        try:
            private_folder(self._folder)
            file = os.open(self._folder / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as problem:
            raise DevstackError(
                f"{self._folder} cannot be used: {problem.strerror}. Choose another folder, such as DATA=.data2."
            ) from None
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(file, 20, 0).decode().strip() or "unknown"
            os.close(file)
            raise DevstackError(
                f"{self._folder} is in use by another run (process {holder}). "
                "Stop that one first, or choose another folder."
            ) from None
        os.ftruncate(file, 0)
        os.pwrite(file, f"{os.getpid()}\n".encode(), 0)
        self._file = file
        return self

    def __exit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Give the folder free."""
        if self._file is not None:
            os.close(self._file)
            self._file = None
