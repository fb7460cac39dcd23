"""``python main.py import-users``: accounts from another system, or from another copy of this one."""

from __future__ import annotations

import asyncio
import os
import stat
import sys
from collections.abc import Iterator
from typing import BinaryIO

import click

from backend.admin.user_import import LONGEST_LINE, ImportLine, ImportStats, open_import
from commands.shared.errors import exit_when_unavailable
from commands.shared.interruption import Interrupted, Interruption
from commands.shared.progress import Progress
from config import load_settings
from database.engine import open_database

_BATCH_LINES = 2000
_BATCH_BYTES = 4 * 1024 * 1024


def _lines(file: BinaryIO) -> Iterator[tuple[ImportLine, int]]:
    """Yield each line with its length in bytes; at most `LONGEST_LINE` of it is in memory."""
    number = 0
    while text := file.readline(LONGEST_LINE + 2):
        number, length, rest = number + 1, len(text), text
        while rest and not rest.endswith(b"\n"):
            rest = file.readline(LONGEST_LINE)
            length += len(rest)
        yield ImportLine(number, text.rstrip(b"\r\n") if length <= LONGEST_LINE else text), length


def _batches(file: BinaryIO) -> Iterator[tuple[list[ImportLine], int]]:
    """Yield batches of lines, each with its length in bytes."""
    batch: list[ImportLine] = []
    size = 0
    for line, length in _lines(file):
        batch.append(line)
        size += length
        if len(batch) == _BATCH_LINES or size >= _BATCH_BYTES:
            yield batch, size
            batch, size = [], 0
    if batch:
        yield batch, size


def _length(file: BinaryIO) -> int | None:
    status = os.fstat(file.fileno())
    return status.st_size if stat.S_ISREG(status.st_mode) else None


async def _import(file: BinaryIO, stats: ImportStats, interruption: Interruption, *, dry_run: bool) -> None:
    with Progress("Trying" if dry_run else "Importing", _length(file)) as progress:
        async with (
            open_database(load_settings().database, batch=True) as database,
            open_import(
                database, stats, lambda number, reason: progress.print_line(f"line {number}: {reason}"), dry_run=dry_run
            ) as importer,
        ):
            for lines, size in _batches(file):
                records = importer.validate(lines)
                with interruption.held():
                    await importer.add(records)
                progress.advance(size, _summary(stats, dry_run=dry_run))


def _summary(stats: ImportStats, *, dry_run: bool) -> str:
    imported = "would be imported" if dry_run else "imported"
    return f"{stats.imported:,} {imported}, {stats.already_there:,} already there, {stats.refused:,} refused"


@click.command("import-users")
@click.argument("file", type=click.File("rb"))
@click.option("--dry-run", is_flag=True, help="Report what would be imported, and write nothing.")
def import_users(file: BinaryIO, *, dry_run: bool) -> None:
    """Import users from FILE, or from standard input when it is -.

    Each line is one JSON object with `email`, `login` and optionally `password_hash`, `locale`, `roles`, `blocked`,
    `created_at` and `id`. A user whose e-mail address exists already stays unchanged, so that an interrupted import can
    be run again. Invalid lines are listed by number and skipped; the exit code is then 1. See docs/moving-in.md.
    """
    stats, interruption = ImportStats(), Interruption()
    try:
        with interruption.listening(), exit_when_unavailable():
            asyncio.run(_import(file, stats, interruption, dry_run=dry_run))
    except Interrupted as interrupted:
        _print_summary(stats, "Interrupted. Run it again to go on.", dry_run=dry_run)
        sys.exit(interrupted.exit_code)
    except click.ClickException:
        _print_summary(stats, "Not finished. Run it again to go on.", dry_run=dry_run)
        raise
    _print_summary(stats, "Done.", dry_run=dry_run)
    sys.exit(1 if stats.refused else 0)


def _print_summary(stats: ImportStats, outcome: str, *, dry_run: bool) -> None:
    nothing = " This was a dry run: nothing was written." if dry_run else ""
    click.echo(f"{outcome} {_summary(stats, dry_run=dry_run)}.{nothing}", err=True)
