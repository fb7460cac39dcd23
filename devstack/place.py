"""Where PostgreSQL runs and as whom: it refuses to run as root, and no folder of others may be opened for it."""

import logging
import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from devstack.folders import private_folder
from devstack.processes import DevstackError, spawn

REFUGE = "devstack-postgres-"

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Place:
    """PostgreSQL's binaries, the folder of its data, and the account that the launcher takes for it."""

    binaries: Path
    home: Path
    account: str

    def own(self, path: Path) -> None:
        """Give a file of ours in the home to the account, where that is another one than ours."""
        kind, *numbers = self.account.split(":")
        if kind == "switched":
            os.chown(path, int(numbers[0]), int(numbers[1]))


def find_place(folder: Path, installation: Path) -> Place:
    """Choose the first that works: as we are; in a user namespace; as `nobody`, below the system's temp folder.

    The namespace keeps everything where it is: the process owns our files as before, yet is not root any more.
    """
    binaries = installation / "bin"
    if os.geteuid() != 0 and _has_name(os.geteuid()):
        return Place(binaries, folder, "own")
    stranger = _unprivileged()
    mapped = Place(binaries, folder, f"mapped:{stranger.pw_uid}:{stranger.pw_gid}")
    refuge = _refuge_of(folder)
    if refuge is not None:
        return _in_refuge(refuge, stranger, "its data were put there earlier")
    problem = _problem_of(mapped)
    if problem is None:
        return mapped
    if os.geteuid() != 0:
        raise DevstackError(
            f"PostgreSQL needs an account with a name, but uid {os.geteuid()} has none in /etc/passwd, and a user "
            f"namespace cannot lend one ({problem}). Run as a user that exists, or add this one to /etc/passwd."
        )
    reason = f"a user namespace does not work here ({problem})"
    return _in_refuge(_new_refuge(folder, installation, stranger), stranger, reason)


def _has_name(uid: int) -> bool:
    """Tell whether the account is in /etc/passwd: `initdb` wants to know its name."""
    try:
        pwd.getpwuid(uid)
    except KeyError:
        return False
    return True


def _unprivileged() -> pwd.struct_passwd:
    try:
        return pwd.getpwnam("nobody")
    except KeyError:
        return next(entry for entry in pwd.getpwall() if entry.pw_uid != 0)


def _problem_of(place: Place) -> str | None:
    """Try, not guess: start the server for a moment at the place; tell what hinders it, or None."""
    command = [str(place.binaries / "postgres"), "--version"]
    process = spawn(command, folder=place.home, account=place.account, stdout=subprocess.PIPE)
    output = process.communicate(timeout=30)[0].decode(errors="replace").strip()
    return None if process.returncode == 0 else output or f"exit code {process.returncode}"


def _in_refuge(refuge: Path, stranger: pwd.struct_passwd, reason: str) -> Place:
    binaries = refuge / (refuge / "binaries").read_text()
    place = Place(binaries, refuge / "home", f"switched:{stranger.pw_uid}:{stranger.pw_gid}")
    problem = _problem_of(place)
    if problem is not None:
        raise DevstackError(
            f"PostgreSQL refuses to run as root, {reason}, and running it as {stranger.pw_name} in {refuge} fails too "
            f"({problem}). Run as an ordinary user, or set TMPDIR to a folder where everyone may run programs."
        )
    logger.warning(
        "PostgreSQL runs as %s and keeps its data in %s, because it refuses to run as root and %s.",
        stranger.pw_name,
        place.home,
        reason,
    )
    return place


def _new_refuge(folder: Path, installation: Path, stranger: pwd.struct_passwd) -> Path:
    """Make a folder that the stranger reaches: the binaries stay root's, the home is the stranger's and closed."""
    _forget_abandoned()
    refuge = Path(tempfile.mkdtemp(prefix=REFUGE))
    try:
        _furnish(refuge, folder, installation, stranger)
    except OSError as problem:
        shutil.rmtree(refuge)
        raise DevstackError(
            "PostgreSQL refuses to run as root, a user namespace does not work here, and a folder for "
            f"{stranger.pw_name} cannot be made in {refuge.parent} ({problem}). Run as an ordinary user instead."
        ) from None
    return refuge


def _furnish(refuge: Path, folder: Path, installation: Path, stranger: pwd.struct_passwd) -> None:
    refuge.chmod(0o711)
    package = installation.parent
    # The binaries look for the libraries of their wheel beside the package, so the copy keeps that order.
    for part in (installation, package.with_name(f"{package.name}.libs")):
        if part.exists():
            leave_out = shutil.ignore_patterns("include", "pkgconfig", "*.a")
            shutil.copytree(part, refuge / part.relative_to(package.parent), ignore=leave_out)
    for path in refuge.rglob("*"):
        path.chmod(0o755)
    (refuge / "binaries").write_text(str((installation / "bin").relative_to(package.parent)))
    home = private_folder(refuge / "home")
    if (folder / "data").exists():
        shutil.copytree(folder / "data", home / "data", symlinks=True)
        shutil.copy2(folder / "password", home / "password")
    for path in (home, *home.rglob("*")):
        os.chown(path, stranger.pw_uid, stranger.pw_gid, follow_symlinks=False)
    # Written last: what has this note is complete.
    (refuge / "serves").write_text(str(folder))


def _refuges() -> Iterator[tuple[Path, str]]:
    """Tell every refuge that root made, and the folder it serves; what others planted there is not looked at."""
    for refuge in Path(tempfile.gettempdir()).glob(f"{REFUGE}*"):
        if refuge.lstat().st_uid == 0 and refuge.is_dir() and not refuge.is_symlink() and (refuge / "serves").exists():
            yield refuge, (refuge / "serves").read_text()


def _refuge_of(folder: Path) -> Path | None:
    if os.geteuid() != 0:
        return None
    return next((refuge for refuge, served in _refuges() if served == str(folder)), None)


def _forget_abandoned() -> None:
    """Remove the refuges whose folders are gone, such as those of tests."""
    for refuge, served in _refuges():
        if not Path(served).exists():
            shutil.rmtree(refuge, ignore_errors=True)
