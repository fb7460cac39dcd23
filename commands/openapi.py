"""``python main.py openapi``: the description of the API, for who generates a client from it."""

from __future__ import annotations

import json

import click

from application import create_app
from config import load_settings


@click.command()
def openapi() -> None:
    """Write the OpenAPI description to standard output, whether or not DOCS is on."""
    settings = load_settings()
    click.echo(json.dumps(create_app(settings).openapi(), indent=2, ensure_ascii=False))
