"""An issuer that is elsewhere, and what a service has that knows its address alone."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from jwt_tools.remote import RemoteKeys
from tests.support.servers.key_server import KeyServer


@pytest.fixture
def server() -> Iterator[KeyServer]:
    """A real server of HTTP, which counts each call, honest or not."""
    with KeyServer() as running:
        yield running


@pytest.fixture
def keys(server: KeyServer) -> RemoteKeys:
    """Knows the issuer, and has not asked it for anything."""
    return RemoteKeys(server.url)
