"""The front door: ``python main.py`` is the command line, ``uvicorn main:app`` serves from the environment alone.

The service is put together in ``application``, and loaded by who serves: whoever only checks the settings, or is told
that they cannot be used, does not wait for it.
"""

from __future__ import annotations

from importlib import import_module

from commands.cli import cli


def __getattr__(name: str) -> object:
    if name in {"app", "create_app"}:
        return getattr(import_module("application"), name)
    raise AttributeError(name)


if __name__ == "__main__":
    cli()
