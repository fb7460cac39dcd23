"""The error of a command when a server that it needs cannot be reached."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import click

from database.driver_errors import SchemaMissing
from models.errors import Unavailable


@contextmanager
def exit_when_unavailable(servers: str = "PostgreSQL cannot be reached at DATABASE_URL.") -> Iterator[None]:
    """End the command with one sentence.

    Raises:
        click.ClickException: a server cannot be reached, or the database has no tables.
    """
    try:
        yield
    except Unavailable as error:
        raise click.ClickException(servers) from error
    except SchemaMissing as error:
        raise click.ClickException(str(error)) from error
