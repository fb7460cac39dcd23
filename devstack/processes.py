"""Child processes that never outlive their parent."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import IO

# The kernel sends the death signal when the *thread* that started a child ends (prctl(2)). So one thread that lives as
# long as the process starts all children: a server that was started by a short-lived thread stays alive.
_SPAWNER = ThreadPoolExecutor(max_workers=1, thread_name_prefix="devstack-spawner")


class DevstackError(RuntimeError):
    """What went wrong and what to do, in a sentence for the user at the terminal."""


def spawn(  # noqa: PLR0913  each says one thing about the child, by name
    command: Sequence[str],
    *,
    folder: Path,
    stdout: int | IO[bytes] | None,
    stderr: int | IO[bytes] | None = subprocess.STDOUT,
    environment: Mapping[str, str] | None = None,
    death_signal: signal.Signals = signal.SIGKILL,
    account: pwd.struct_passwd | None = None,
    inherited: Sequence[int] = (),
) -> subprocess.Popen[bytes]:
    """Start a program in a session of its own, which Ctrl-C does not reach; it gets `death_signal` when we die.

    The program runs under `account`, if one is given, in place of root. It inherits the open files `inherited`.
    """
    launcher = []
    if sys.platform == "linux":
        if shutil.which("setpriv") is None:
            raise DevstackError("setpriv was not found. Install util-linux, to which it belongs.")
        launcher = ["setpriv", f"--pdeathsig={death_signal.name.removeprefix('SIG')}"]
        if account:
            # The capability lets the account enter closed folders, as root may: none has to be opened for it. Docker
            # grants it, unlike user namespaces. Without the securebit, access(2) would ignore it (capabilities(7)).
            launcher += [f"--reuid={account.pw_uid}", f"--regid={account.pw_gid}", "--clear-groups"]
            launcher += ["--securebits=+no_setuid_fixup", "--inh-caps=+dac_override", "--ambient-caps=+dac_override"]
        # The shell ends here if the parent died before the death signal was set.
        launcher += ["sh", "-c", 'test "$PPID" = "$0" && exec "$@"', str(os.getpid())]
    return _SPAWNER.submit(
        subprocess.Popen[bytes],
        [*launcher, *command],
        stdin=subprocess.DEVNULL,
        stdout=stdout,
        stderr=stderr,
        cwd=folder,
        env=environment,
        start_new_session=True,
        pass_fds=inherited,
    ).result()


def stop(process: subprocess.Popen[bytes], ask: signal.Signals, patience: float) -> None:
    """Ask the process to end; when its patience is over, kill it with everything in its process group."""
    if process.poll() is None:
        process.send_signal(ask)
        # A paused process reacts to no signal but SIGKILL.
        process.send_signal(signal.SIGCONT)
        with suppress(subprocess.TimeoutExpired):
            process.wait(patience)
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def finish(process: subprocess.Popen[bytes]) -> tuple[int, str, str]:
    """Wait for a command; return its exit code, output and errors. Ctrl-C ends the command with the wait."""
    try:
        output, errors = process.communicate()
    finally:
        stop(process, signal.SIGTERM, patience=1)
    return process.returncode, (output or b"").decode(errors="replace"), (errors or b"").decode(errors="replace")
