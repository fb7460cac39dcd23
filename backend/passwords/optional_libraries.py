"""The libraries of requirements-import.txt, or None for those that are not installed."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from typing import Any


def _if_installed(name: str) -> Any:
    return import_module(name) if find_spec(name) else None


bcrypt: Any = _if_installed("bcrypt")
argon2: Any = _if_installed("argon2")
