"""``python main.py openapi``: print the OpenAPI description, for generators of clients."""

from __future__ import annotations

import json

import click

from application import create_app
from config import load_settings


@click.command()
def openapi() -> None:
    """Print the OpenAPI description, even if DOCS is off."""
    settings = load_settings()
    click.echo(json.dumps(create_app(settings).openapi(), indent=2, ensure_ascii=False))
