"""What `make run` does: the servers, the service, and every mail shown in the terminal, until Ctrl-C."""

from __future__ import annotations

import logging
import os
import signal
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from shlex import quote
from types import FrameType

from dotenv import dotenv_values

from devstack.folders import kept_secret, write_privately
from devstack.mailbox import Mail
from devstack.ports import free_port, is_free
from devstack.processes import DevstackError
from devstack.service import ROOT, Service
from devstack.stack import Stack

SERVICE = (sys.executable, str(ROOT / "main.py"))
SETTINGS_OF = "DEVSTACK_SETTINGS"
"""In a terminal that has read a `settings.sh`: the data folder whose settings they are."""

say = partial(print, flush=True)
"""Print a line at once, also where the output is a pipe."""


def run(port: int, data: Path, service: Sequence[str] = SERVICE) -> int:
    """Run the stack and the service until Ctrl-C, SIGTERM or a hang-up; return the exit code."""
    logging.basicConfig(format="%(message)s")
    _on_stop_signals(_interrupt)
    try:
        _run(port, data.resolve(), service)
    except KeyboardInterrupt:
        say("Stopped.")
    except DevstackError as problem:
        print(problem, file=sys.stderr)
        return 1
    return 0


def _run(port: int, data: Path, command: Sequence[str]) -> None:
    if not is_free(port):
        raise DevstackError(
            f"Port {port} on 127.0.0.1 is taken. Stop what uses it, or choose another port and, beside another run, "
            f"another folder: make run PORT={free_port()} DATA=.data2."
        )
    say(f"Starting PostgreSQL, Valkey and a mailbox in {data} …")
    with Stack(data, on_mail=show, report=say) as stack:
        settings = environment(stack, port)
        write_privately(data / "settings.sh", _for_commands(settings, data))
        service = Service(stack, port, command, settings)
        try:
            say("Applying the migrations …")
            service.migrate()
            say("Starting the service …")
            service.start()
            # Only now: the password is shown once, and a start that fails would not show it.
            say(_welcome(stack, port, service.create_admin()))
            while True:
                for server in (stack.postgres, stack.valkey, service):
                    server.check()
                time.sleep(0.2)
        finally:
            _on_stop_signals(lambda *_: None)
            say("Stopping …")
            service.stop()


def environment(stack: Stack, port: int) -> dict[str, str]:
    """Return the service's settings: ours for servers and address; for the rest, the user's come before our defaults.

    Settings that the terminal has read from another copy's `settings.sh` are not the user's wishes for this copy. With
    the other copy's secrets, only this terminal could decrypt what this copy stores.
    """
    if other := os.environ.get(SETTINGS_OF):
        say(f"This terminal has read the settings of {other}; they are not used.")
    given = {**dotenv_values(ROOT / ".env"), **({} if other else os.environ)}
    defaults = {
        "MAIL_FROM": "Auth <auth@localhost>",
        "SECRET_KEYS": kept_secret(stack.data / "secret_keys"),
        "ISSUER": f"http://127.0.0.1:{port}",
        "ENVIRONMENT": "development",
    }
    ours = {
        "DATABASE_URL": stack.postgres.url(),
        "REDIS_URL": stack.valkey.url(),
        "SMTP_URL": stack.mailbox.url,
        "HOST": "127.0.0.1",
        "PORT": str(port),
    }
    return {name: given.get(name) or value for name, value in defaults.items()} | ours


def show(mail: Mail) -> None:
    """Show a mail in a line, its code in bold."""
    code = mail.code or ""
    if code and sys.stdout.isatty():
        code = f"\033[1m{code}\033[0m"
    # A mail must not steer the terminal.
    header = "".join(letter if letter.isprintable() else "?" for letter in f"{mail.to}: {mail.subject}")
    say(f"  mail to {header}  {code}".rstrip())


def _for_commands(settings: Mapping[str, str], data: Path) -> str:
    """Return the settings as a shell script. HOST and PORT are left out: the next `make run` would obey them."""
    exported = {SETTINGS_OF: str(data), **settings}
    return "".join(f"export {name}={quote(exported[name])}\n" for name in exported if name not in {"HOST", "PORT"})


def _welcome(stack: Stack, port: int, first_admin: str) -> str:
    return f"""
The service is ready.

  address   http://127.0.0.1:{port}
  try it    http://127.0.0.1:{port}/docs
  mail      {stack.mailbox.folder}  (codes are shown here, too)
  logs      {stack.logs}
  data      {stack.data}
  database  {stack.postgres.url()}
  settings  {stack.data / "settings.sh"}  (for commands: . this file)
{first_admin}
Ctrl-C stops everything.
"""


def _on_stop_signals(handler: Callable[[int, FrameType | None], None]) -> None:
    for one in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(one, handler)


def _interrupt(_signal: int, _frame: FrameType | None) -> None:
    """Begin the stop, which later signals do not disturb. Child processes would inherit SIG_IGN, but no function."""
    _on_stop_signals(lambda *_: None)
    raise KeyboardInterrupt
