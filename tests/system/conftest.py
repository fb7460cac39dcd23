"""nginx in front of two copies of the app, for every test of it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from devstack.stack import Stack
from tests.support.servers.name_server import NameServer
from tests.support.servers.nginx import Nginx
from tests.support.service.copies import Copies
from tests.support.service.slow_limits import SLOWLY

OPERATORS = "127.77.0.0/16"
OUTER_PROXY = "127.88.0.1"


@pytest.fixture(scope="session")
def copies(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Copies]:
    """Two copies of the app that have the limits of production."""
    stack.postgres.create_database("behind_nginx", template="migrated")
    running = Copies(stack, "behind_nginx", tmp_path_factory.mktemp("copies"), SLOWLY)
    try:
        running.start()
        yield running
    finally:
        running.kill()


@pytest.fixture(scope="session")
def names(copies: Copies) -> Iterator[NameServer]:
    """Knows both copies."""
    with NameServer(copies.addresses) as running:
        yield running


@pytest.fixture(scope="session")
def nginx(copies: Copies, names: NameServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nginx]:
    """nginx as shipped: no DOMAIN, nobody trusted, nothing open."""
    with Nginx(tmp_path_factory.mktemp("nginx"), names=names.port, app_port=copies.port) as running:
        yield running


@pytest.fixture(scope="session")
def public(copies: Copies, names: NameServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nginx]:
    """nginx of a public service behind one more proxy, with operators in one network."""
    settings = {"DOMAIN": "auth.example.com", "ADMIN_ALLOW": OPERATORS, "TRUSTED_PROXIES": OUTER_PROXY}
    with Nginx(tmp_path_factory.mktemp("public"), names=names.port, app_port=copies.port, **settings) as running:
        yield running
