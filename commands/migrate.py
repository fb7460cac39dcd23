"""``python main.py migrate``: bring the tables up to date."""

from __future__ import annotations

from pathlib import Path

import click
from alembic import command
from alembic.config import Config


@click.command()
@click.argument("revision", default="head")
@click.option("--down", is_flag=True, help="Go back to an older REVISION; `base` drops every table.")
def migrate(revision: str, *, down: bool) -> None:
    """Migrate the database to REVISION, by default to the newest."""
    config = Config(Path(__file__).parent.parent / "alembic.ini")
    (command.downgrade if down else command.upgrade)(config, revision)
    click.echo(f"The database is at {revision}.")
