"""``python main.py check-config``: check the settings."""

from __future__ import annotations

import click

from commands.settings_page import page
from config import load_settings, setting_warnings


@click.command("check-config")
@click.option("--page", "as_page", is_flag=True, help="Print docs/settings.md instead.")
def check_config(*, as_page: bool) -> None:
    """Check the settings as a start does, and list every problem by name. No server is contacted."""
    if as_page:
        click.echo(page(), nl=False)
        return
    settings = load_settings()
    for warning in setting_warnings():
        click.echo(f"Warning: {warning}", err=True)
    click.echo(f"The configuration can be used. The issuer of tokens is {settings.issuer}.")
