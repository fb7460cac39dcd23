"""What a command says when a server that it needs is away."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import click

from database.faults import SchemaMissing
from models.errors import Unavailable


@contextmanager
def exit_when_unavailable(servers: str = "PostgreSQL cannot be reached at DATABASE_URL.") -> Iterator[None]:
    """End the command in a sentence.

    Raises:
        click.ClickException: a server is away, or the database has no tables.
    """
    try:
        yield
    except Unavailable as error:
        raise click.ClickException(servers) from error
    except SchemaMissing as error:
        raise click.ClickException(str(error)) from error
