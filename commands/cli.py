"""The command line: ``python main.py``, a door like the API."""

from __future__ import annotations

import sys

import click

from commands.check_config import check_config
from commands.init import init
from commands.migrate import migrate
from commands.openapi import openapi
from commands.rotate_keys import rotate_keys
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
cli.add_command(rotate_keys)
cli.add_command(check_config)
cli.add_command(init)
cli.add_command(openapi)
