"""The front door: ``python main.py`` is the command line, ``uvicorn main:app`` serves from the environment alone.

``application`` is loaded on demand: a command that only checks the settings does not wait for it.
"""

from __future__ import annotations

from importlib import import_module

from commands.cli import cli


def __getattr__(name: str) -> object:
    if name == "app":
        return import_module("application").app
    raise AttributeError(name)


if __name__ == "__main__":
    cli()
