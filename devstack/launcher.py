"""Becomes another program, after taking the account it shall run under and asking to die with its parent.

It is run as a script between the stack and every program that the stack starts. A `preexec_fn` would save the script,
but it runs Python between fork and exec, where a process with threads may deadlock.
"""

import ctypes
import os
import sys
from pathlib import Path

PR_SET_PDEATHSIG = 1
CLONE_NEWUSER = 0x10000000


def main(parent: int, death_signal: int, account: str, folder: str, command: list[str]) -> None:
    """Replace this process by `command`, working in `folder` under `account`, bound to the life of `parent`."""
    take(account)
    # As the new account: a folder that is out of its reach is found out here, not by the program later.
    os.chdir(folder)
    die_with(parent, death_signal)
    os.execv(command[0], command)  # noqa: S606  no shell is the point


def take(account: str) -> None:
    """Take an account: `own` stays as it is, `mapped:uid:gid` goes by another number, `switched:uid:gid` steps down."""
    match account.split(":"):
        case ["mapped", uid, gid]:
            go_by(int(uid), int(gid))
        case ["switched", uid, gid]:
            os.setgroups([])
            os.setgid(int(gid))
            os.setuid(int(uid))


def go_by(uid: int, gid: int) -> None:
    """Enter a user namespace in which the own account, with its own rights on files, carries another number."""
    own_uid, own_gid = os.geteuid(), os.getegid()
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(CLONE_NEWUSER) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"no user namespace: {os.strerror(number)}")
    # The kernel takes a group map from an unprivileged process only after setgroups is given up (user_namespaces(7)).
    Path("/proc/self/setgroups").write_text("deny")
    Path("/proc/self/uid_map").write_text(f"{uid} {own_uid} 1")
    Path("/proc/self/gid_map").write_text(f"{gid} {own_gid} 1")


def die_with(parent: int, death_signal: int) -> None:
    """Have the kernel send `death_signal` when the parent dies; the wish survives exec, but not a change of account."""
    if sys.platform != "linux":
        return
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, death_signal)
    if os.getppid() != parent:
        sys.exit("the parent died before its program could start")


if __name__ == "__main__":
    try:
        main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3], sys.argv[4], sys.argv[5:])
    except OSError as problem:
        sys.exit(f"cannot start {sys.argv[5]}: {problem}")
