"""``python main.py openapi``: the description of the API, for who generates a client from it."""

from __future__ import annotations

import json
from collections.abc import Callable

import click
from fastapi import FastAPI

from config import Settings, load_settings


@click.command()
@click.pass_obj
def openapi(create_app: Callable[[Settings], FastAPI]) -> None:
    """Write the OpenAPI description to standard output, whether or not DOCS is on."""
    click.echo(json.dumps(create_app(load_settings()).openapi(), indent=2, ensure_ascii=False))
