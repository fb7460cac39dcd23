"""``python main.py check-config``: are the settings good?"""

from __future__ import annotations

import click

from commands.settings_page import page
from config import load_settings, setting_warnings


@click.command("check-config")
@click.option("--page", "as_page", is_flag=True, help="Write docs/settings.md to standard output instead.")
def check_config(*, as_page: bool) -> None:
    """Read the settings as a start would, and tell every problem by name; nothing is connected to."""
    if as_page:
        click.echo(page(), nl=False)
        return
    settings = load_settings()
    for warning in setting_warnings():
        click.echo(f"Warning: {warning}", err=True)
    click.echo(f"The configuration can be used. Tokens are issued by {settings.issuer}.")
