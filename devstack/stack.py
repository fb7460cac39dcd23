"""The three servers together, in one data folder."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Self

from devstack.folders import private_folder
from devstack.mailbox import Mail, Mailbox
from devstack.postgres import Postgres
from devstack.processes import DevstackError
from devstack.valkey import Valkey


class Stack:
    """PostgreSQL with the database "auth", Valkey and a mailbox; as a context manager it leaves nothing running.

    `report` gets a line for each server that is ready.
    """

    def __init__(
        self,
        data: Path,
        *,
        durable: bool = True,
        on_mail: Callable[[Mail], None] | None = None,
        report: Callable[[str], None] = lambda _: None,
    ) -> None:
        self.data = data.resolve()
        self.logs = self.data / "logs"
        self.valkey = Valkey(self.data / "valkey")
        self.postgres = Postgres(self.data / "postgres", durable=durable)
        self.mailbox = Mailbox(self.data / "mail", on_mail=on_mail)
        self._report = report

    def __enter__(self) -> Self:
        try:
            self._start()
        except OSError as problem:
            self.stop()
            message = f"{self.data} cannot be used ({problem}). Choose another folder, such as DATA=.data2."
            raise DevstackError(message) from None
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """Stop all three."""
        self.mailbox.stop()
        self.postgres.stop()
        self.valkey.stop()

    def _start(self) -> None:
        private_folder(self.data)
        for server in (self.valkey, self.postgres):
            began = time.monotonic()
            server.start()
            self._report(f"{server.name} is ready after {time.monotonic() - began:.1f} s.")
        if not self.postgres.has_database("auth"):
            self.postgres.create_database("auth")
        self.mailbox.start()
