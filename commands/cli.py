"""The command line: ``python main.py``, a door like the API."""

from __future__ import annotations

import sys

import click

from commands.migrate import migrate
from commands.serve import serve
from commands.worker import worker
from config import ConfigurationError


class _Cli(click.Group):
    def invoke(self, ctx: click.Context) -> object:
        try:
            return super().invoke(ctx)
        except ConfigurationError as error:
            click.echo(str(error), err=True)
            sys.exit(2)


@click.group(cls=_Cli, invoke_without_command=True)
@click.pass_context
def cli(ctx: click.Context) -> None:
    """Registration, log-in and recovery. Without a command: serve."""
    if ctx.invoked_subcommand is None:
        ctx.invoke(serve)


cli.add_command(serve)
cli.add_command(worker)
cli.add_command(migrate)
