"""``python main.py export-users``: write every account in the format that import-users reads."""

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
    """Open a file that only its owner can read, and that gets its name when it is complete."""
    if path.exists() and not force:
        raise click.ClickException(f"{path} exists already; --force replaces it.")
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
    interruption: Interruption
    written: int = 0

    async def run(self, file: IO[bytes]) -> None:
        """Write all users of this moment."""
        async with open_database(load_settings().database, batch=True) as database:
            # Audited before the first line: an export that is interrupted has given users away, too.
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
        # If the exception of a signal was lost, this would wait for a reader for ever.
        self.interruption.check()
        try:
            file.write(line)
        except OSError as error:
            # Caught here: outside, the database code would take it for a lost connection.
            raise click.ClickException(f"Cannot write: {error.strerror}") from error
        self.written += 1


def _discard_output() -> None:
    """Discard the rest of standard output: at its end, Python would wait for ever for a reader of it."""
    devnull = os.open(os.devnull, os.O_WRONLY)
    os.dup2(devnull, sys.stdout.fileno())
    os.close(devnull)


@click.command("export-users")
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path, allow_dash=True), default="-")
@click.option("--force", is_flag=True, help="Replace FILE if it exists.")
def export_users(file: Path, *, force: bool) -> None:
    """Export all users to FILE, or to standard output if FILE is missing or -.

    Each line is one JSON object in the format of import-users. It contains the password's hash, so only the owner of
    FILE can read it. All lines are from the same moment, and FILE appears when it is complete. Users are exported with
    the names of their roles, without permissions: the roles must exist in the database that imports the users.
    """
    export = _Export(Interruption())
    try:
        with export.interruption.listening(), exit_when_unavailable():
            if file == Path("-"):
                asyncio.run(export.run(sys.stdout.buffer))
                sys.stdout.buffer.flush()
            else:
                with _written(file, force=force) as output:
                    asyncio.run(export.run(output))
    except Interrupted as interrupted:
        if file == Path("-"):
            _discard_output()
            left = "the output is not complete"
        else:
            left = "no file was written"
        click.echo(f"Interrupted after {export.written:,} users; {left}.", err=True)
        sys.exit(interrupted.exit_code)
    except OSError as error:
        raise click.ClickException(f"Cannot write {file}: {error.strerror}") from error
    click.echo(f"{export.written:,} users exported.", err=True)
