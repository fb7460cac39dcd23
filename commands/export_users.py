"""``python main.py export-users``: every account, as import-users reads it."""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import click

from backend.audit import audit
from commands.shared.errors import exit_when_unavailable
from commands.shared.interruption import Interrupted, Interruption
from commands.shared.progress import Progress
from config import load_settings
from database.engine import Database, open_database
from models.admin.user_transfer import record_line
from models.context.audit import COMMAND_LINE, Event

_STEP = 1000


@contextmanager
def _written(path: Path, *, force: bool) -> Iterator[IO[bytes]]:
    """A file for our eyes alone, which has its name once it is complete."""
    if path.exists() and not force:
        raise click.ClickException(f"{path} is there already; --force replaces it.")
    with tempfile.NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}.", delete=False) as file:
        unfinished = Path(file.name)
        try:
            yield file
            file.flush()
            unfinished.replace(path)
        except BaseException:
            unfinished.unlink()
            raise


@dataclass(slots=True)
class _Export:
    written: int = 0

    async def run(self, file: IO[bytes]) -> None:
        """Write everybody who is there at this moment."""
        async with open_database(load_settings().database, batch=True) as database:
            # Whoever takes everybody along is written down before, so that an export which is cut short is, too.
            async with database.transaction() as db:
                await audit(db, Event.USERS_EXPORTED, COMMAND_LINE)
            await self._write_all(file, database)

    async def _write_all(self, file: IO[bytes], database: Database) -> None:
        async with database.long_snapshot() as db:
            with Progress("Exporting", await db.user_transfers.count()) as progress:
                async for user in db.user_transfers.stream():
                    self._write(file, record_line(user))
                    if self.written % _STEP == 0:
                        progress.advance(_STEP, f"{self.written:,} users")

    def _write(self, file: IO[bytes], line: bytes) -> None:
        try:
            file.write(line)
        except OSError as error:
            # Told here: further out it would be taken for a lost connection.
            raise click.ClickException(f"Cannot write: {error.strerror}") from error
        self.written += 1


def _drop_what_nobody_reads() -> None:
    """Python writes out at its end what standard output still holds, and would wait for a reader for ever."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)


@click.command("export-users")
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path, allow_dash=True), default="-")
@click.option("--force", is_flag=True, help="Replace FILE if it is there.")
def export_users(file: Path, *, force: bool) -> None:
    """Export all users to FILE, or to standard output when none is named or it is -.

    One JSON object a line, as import-users reads it, with the password's hash: FILE can be read by its owner alone.
    It is one moment of the database, however long it takes, and FILE appears when it is complete. Roles are exported
    by name with each user, and what they allow is not: the database that is imported into must have them.
    """
    export, interruption = _Export(), Interruption()
    try:
        with interruption.listening(), exit_when_unavailable():
            if file == Path("-"):
                asyncio.run(export.run(sys.stdout.buffer))
                sys.stdout.buffer.flush()
            else:
                with _written(file, force=force) as output:
                    asyncio.run(export.run(output))
    except Interrupted as interrupted:
        if file == Path("-"):
            _drop_what_nobody_reads()
            left = "what was written is not complete"
        else:
            left = "no file was made"
        click.echo(f"Interrupted after {export.written:,} users; {left}.", err=True)
        sys.exit(interrupted.exit_code)
    except OSError as error:
        raise click.ClickException(f"Cannot write {file}: {error.strerror}") from error
    click.echo(f"{export.written:,} users exported.", err=True)
