"""Fixtures that many files need, each with settings of its own."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.conftest import Serving
from tests.support.service.process import Service


def service_fixture(*, workers: int = 1, **settings: str) -> object:
    """Return a fixture: a service with these settings, which the tests of one module share."""

    @pytest.fixture(scope="module")
    def running(serving: Serving) -> Iterator[Service]:
        with serving(workers=workers, **settings) as service:
            yield service

    return running
