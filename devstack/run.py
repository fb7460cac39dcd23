"""What `make run` does: the servers, the service, and every mail shown in the terminal, until Ctrl-C."""

import base64
import logging
import os
import secrets
import signal
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from shlex import quote
from textwrap import indent
from types import FrameType, TracebackType
from typing import Self

from dotenv import dotenv_values

from devstack.folders import FolderLock, kept_secret, write_privately
from devstack.mailbox import Mail
from devstack.ports import PORTS, free_port, is_free
from devstack.processes import DevstackError
from devstack.service import ROOT, Service
from devstack.stack import Stack

WHOSE = "DEVSTACK_SETTINGS"
"""Says in a terminal whose settings it has read."""

SERVICE = (sys.executable, str(ROOT / "main.py"))


def run(port: int, data: Path, workers: int = 1, service: Sequence[str] = SERVICE) -> int:
    """Run the stack and the service until Ctrl-C or SIGTERM; return the exit code."""
    logging.basicConfig(format="%(message)s")
    data = data.resolve()
    with StopSignals() as signals:
        try:
            with FolderLock(data):
                _refuse_taken_port(port)
                _run(port, data, workers, service, signals)
        except KeyboardInterrupt:
            say("Stopped.")
            return 0
        except DevstackError as problem:
            print(problem, file=sys.stderr, flush=True)
            return 1
    return 0


def _run(port: int, data: Path, workers: int, command: Sequence[str], signals: "StopSignals") -> None:
    say(f"Starting PostgreSQL, Valkey and a mailbox in {data} …")
    with Stack(data, on_mail=show, report=say) as stack:
        settings = environment(stack, port)
        write_privately(_settings_file(stack), _for_commands(settings, data))
        service = Service(command, settings, port, stack.logs / "service.log")
        try:
            say("Applying the migrations …")
            service.migrate()
            say("Starting the service …")
            service.serve(workers)
            service.wait_until_ready()
            # Only now: a password that is made before a start that fails would never be told.
            admin = service.create_admin()
            if admin.complaint:
                say(f"No administrator was made. {admin.complaint.rstrip()}")
            say(_welcome(stack, port, admin.said))
            while True:
                service.check()
                if fallen := stack.fallen():
                    raise DevstackError(f"{fallen}.")
                time.sleep(0.2)
        finally:
            signals.ignore()
            say("Stopping …")
            service.stop()


def environment(stack: Stack, port: int) -> dict[str, str]:
    """Tell the service's settings: ours for the servers and the address, else the user's where there is one.

    A terminal that has read the settings of a copy says nothing of what its user wishes for this one: with the secrets
    of another copy, what this one stores could be opened by that terminal alone.
    """
    if elsewhere := os.environ.get(WHOSE):
        say(f"This terminal has read the settings of {elsewhere}; they are not used.")
    given = {**dotenv_values(ROOT / ".env"), **({} if elsewhere else os.environ)}
    defaults = {
        "MAIL_FROM": "Auth <auth@localhost>",
        "SECRET_KEYS": kept_secret(stack.data / "secret_keys", _new_key),
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


def _for_commands(settings: Mapping[str, str], data: Path) -> str:
    """The settings as a shell reads them; where we serve is nothing for a command to know, or for the next `make`."""
    exported = {WHOSE: str(data), **settings}
    return "".join(f"export {name}={quote(exported[name])}\n" for name in exported if name not in {"HOST", "PORT"})


def _settings_file(stack: Stack) -> Path:
    """Where the settings are kept for the commands that a person runs beside the service."""
    return stack.data / "settings.sh"


def _new_key() -> str:
    return base64.urlsafe_b64encode(secrets.token_bytes(32)).decode()


def show(mail: Mail) -> None:
    """Show a mail in a line, its code standing out."""
    code = mail.code or ""
    if code and sys.stdout.isatty():
        code = f"\033[1m{code}\033[0m"
    say(f"  mail to {_printable(mail.to)}: {_printable(mail.subject)}  {code}".rstrip())


def say(line: str) -> None:
    """Tell the person something at once, also where the output is a pipe."""
    print(line, flush=True)


def _printable(text: str) -> str:
    # What a mail says must not steer the terminal.
    return "".join(letter if letter.isprintable() else "?" for letter in text)


def _refuse_taken_port(port: int) -> None:
    if not is_free(port):
        another = next(filter(is_free, PORTS[port : port + 100]), None) or free_port()
        raise DevstackError(f"Port {port} on 127.0.0.1 is taken. Choose another one, such as PORT={another}.")


def _welcome(stack: Stack, port: int, admin: str) -> str:
    first = f"\nThe first administrator, told this once:\n\n{indent(admin, '  ')}" if admin else ""
    return f"""
The service is ready.

  address   http://127.0.0.1:{port}
  try it    http://127.0.0.1:{port}/docs
  mail      {stack.mailbox.folder}  (codes are shown here, too)
  logs      {stack.logs}
  data      {stack.data}
  database  {stack.postgres.url()}
  settings  {_settings_file(stack)}  (for commands: . this file)
{first}
Ctrl-C stops everything.
"""


class StopSignals:
    """Turns the first Ctrl-C, SIGTERM or hang-up into KeyboardInterrupt; later ones find the stop under way."""

    CAUGHT = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

    def __init__(self) -> None:
        """Begin to listen only as a context."""
        self._heard = False
        self._before: dict[signal.Signals, object] = {}

    def __enter__(self) -> Self:
        """Listen."""
        for one in self.CAUGHT:
            self._before[one] = signal.signal(one, self._hear)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Let the signals do what they did before."""
        for one, handler in self._before.items():
            signal.signal(one, handler)  # type: ignore[arg-type]

    def ignore(self) -> None:
        """From now on let nothing disturb the stop."""
        self._heard = True

    def _hear(self, _number: int, _frame: FrameType | None) -> None:
        if not self._heard:
            self._heard = True
            raise KeyboardInterrupt
