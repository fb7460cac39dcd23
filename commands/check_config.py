"""``python main.py check-config``: are the settings good?"""

from __future__ import annotations

import click

from config import load_settings


@click.command("check-config")
def check_config() -> None:
    """Read the settings as a start would, and tell every problem by name; nothing is connected to."""
    settings = load_settings()
    click.echo(f"The configuration can be used. Tokens are issued by {settings.issuer}.")
