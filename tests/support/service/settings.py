"""What a service reads from its environment, read the same way by a test."""

from __future__ import annotations

import os
from collections.abc import Mapping

import pytest

from config import Settings, load_settings


def settings_of(environment: Mapping[str, str]) -> Settings:
    """The settings of a service that is started with this environment and no other."""
    with pytest.MonkeyPatch.context() as patch:
        for name in set(os.environ) - set(environment):
            patch.delenv(name)
        for name, value in environment.items():
            patch.setenv(name, value)
        return load_settings()
