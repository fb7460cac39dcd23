"""``python main.py rotate-keys``: change the signing key before it is due."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from math import ceil

import click

from backend.derived_keys import Keys
from commands.shared.errors import exit_when_unavailable
from config import Settings, load_settings
from database.engine import open_database
from wiring.signing_keys import unread_signing_keys


async def _rotate(settings: Settings, *, leaked: bool) -> tuple[str, timedelta]:
    async with open_database(settings.database) as database:
        return await unread_signing_keys(settings, database, Keys(settings.secrets)).rotate(leaked=leaked)


@click.command("rotate-keys")
@click.option("--leaked", is_flag=True, help="The old keys have leaked: withdraw them at once.")
def rotate_keys(*, leaked: bool) -> None:
    """Publish the next signing key now, before it is due."""
    settings = load_settings()
    with exit_when_unavailable():
        kid, activation_delay = asyncio.run(_rotate(settings, leaked=leaked))
    if leaked:
        click.echo(
            f"Key {kid} signs from now on, and no other key is published. Every process here knows it within "
            f"{settings.key.refresh_interval} s, every service that verifies offline within {settings.key.max_age} s. "
            "Access tokens of the old keys are refused then; clients refresh them."
        )
    else:
        click.echo(f"Key {kid} is published, and signs in {ceil(activation_delay.total_seconds())} s.")
