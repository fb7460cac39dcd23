"""The three servers together, in one data folder."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

from devstack.folders import private_folder
from devstack.mailbox import Mail, Mailbox
from devstack.postgres import Postgres
from devstack.valkey import Valkey


class Stack:
    """PostgreSQL with the database "auth", Valkey and a mailbox; as a context manager it leaves nothing running."""

    def __init__(
        self,
        data: Path,
        durable: bool = True,  # noqa: FBT001, FBT002  a yes or no that reads well by name
        *,
        on_mail: Callable[[Mail], None] | None = None,
        report: Callable[[str], None] = lambda _: None,
    ) -> None:
        """Name the data folder; `report` is told in a line each what is ready."""
        self.data = data.resolve()
        self.logs = self.data / "logs"
        self.postgres = Postgres(self.data / "postgres", durable=durable, log=self.logs / "postgres.log")
        self.valkey = Valkey(self.data / "valkey", log=self.logs / "valkey.log")
        self.mailbox = Mailbox(self.data / "mail", on_mail=on_mail)
        self._report = report
        self._running = ExitStack()

    def __enter__(self) -> Self:
        """Start all three, the two slow ones side by side."""
        private_folder(self.data)
        private_folder(self.logs)
        with ExitStack() as started:
            started.callback(self.postgres.stop)
            started.callback(self.valkey.stop)
            started.callback(self.mailbox.stop)
            self._start_servers()
            self.mailbox.start()
            if not self.postgres.has_database("auth"):
                self.postgres.create_database("auth")
            self._running = started.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop all three in reverse order."""
        self._running.close()

    def fallen(self) -> str | None:
        """Tell the server that has ended without being asked, and its log."""
        for name, server in (("PostgreSQL", self.postgres), ("Valkey", self.valkey)):
            if server.has_died():
                return f"{name} has ended by itself; see {server.log}"
        return None

    def _start_servers(self) -> None:
        with ThreadPoolExecutor(max_workers=2) as starting:
            both = [
                starting.submit(self._start, "PostgreSQL", self.postgres),
                starting.submit(self._start, "Valkey", self.valkey),
            ]
            for one in both:
                one.result()

    def _start(self, name: str, server: Postgres | Valkey) -> None:
        began = time.monotonic()
        server.start()
        self._report(f"{name} is ready after {time.monotonic() - began:.1f} s.")
