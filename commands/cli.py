"""The command line: ``python main.py``."""

from __future__ import annotations

import sys
from importlib import import_module

import click

from models.settings.loading import ConfigurationError

_COMMANDS = (
    *("serve", "worker", "migrate"),
    *("create-admin", "import-users", "export-users"),
    *("rotate-keys", "check-config", "init", "openapi"),
)
"""Each is a module of this folder, and the function of the same name in it."""


def _load(command: str) -> click.Command:
    name = command.replace("-", "_")
    loaded: click.Command = getattr(import_module(f"commands.{name}"), name)
    return loaded


class _Cli(click.Group):
    """Loads only the command that is called: all of them together take a second longer."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002  click's own signature
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002  the same
        return _load(cmd_name) if cmd_name in _COMMANDS else None

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
        ctx.invoke(_load("serve"))
