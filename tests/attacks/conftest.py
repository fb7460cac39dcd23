"""What several files of these tests start from."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.service.fixtures import service_fixture
from tests.support.service.process import AS_SHIPPED, Service
from tests.support.state.database_inspector import DatabaseInspector, inspect_database

shipped = service_fixture(workers=2, **AS_SHIPPED)
"""A service whose every limit is as shipped."""


@pytest.fixture(scope="module")
def shipped_db(shipped: Service) -> Iterator[DatabaseInspector]:
    """What the servers of that service hold."""
    with inspect_database(shipped) as looking:
        yield looking
