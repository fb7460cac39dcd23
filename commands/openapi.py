"""``python main.py openapi``: the description of the API, for who generates a client from it."""

from __future__ import annotations

import json

import click
from uvicorn.importer import import_from_string

from config import load_settings


@click.command()
def openapi() -> None:
    """Write the OpenAPI description to standard output, whether or not DOCS is on."""
    settings = load_settings()
    create_app = import_from_string("main:create_app")
    click.echo(json.dumps(create_app(settings).openapi(), indent=2, ensure_ascii=False))
