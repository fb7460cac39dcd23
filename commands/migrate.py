"""``python main.py migrate``: bring the database up to date."""

from __future__ import annotations

from pathlib import Path

import click
from alembic import command
from alembic.config import Config


@click.command()
@click.argument("revision", default="head")
def migrate(revision: str) -> None:
    """Bring the database to REVISION: the newest when none is named, an older one to go back (`base` empties it)."""
    config = Config(Path(__file__).parent.parent / "alembic.ini")
    (command.downgrade if revision == "base" else command.upgrade)(config, revision)
    click.echo(f"The database is at {revision}.")
