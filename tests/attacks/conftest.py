"""What several files of these tests start from."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.conftest import Serving
from tests.support.service.process import AS_SHIPPED, Service
from tests.support.state.database_inspector import DatabaseInspector, inspect_database


@pytest.fixture(scope="module")
def shipped(serving: Serving) -> Iterator[Service]:
    """A service whose every limit is as shipped."""
    with serving(workers=2, **AS_SHIPPED) as running:
        yield running


@pytest.fixture(scope="module")
def shipped_db(shipped: Service) -> Iterator[DatabaseInspector]:
    """What the servers of that service hold."""
    with inspect_database(shipped) as looking:
        yield looking
