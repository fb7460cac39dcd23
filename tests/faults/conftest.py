"""Servers that may be stopped, killed and frozen, and services that reach them through proxies."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass

import pytest

from devstack.mailbox import Mailbox
from devstack.stack import Stack
from tests.conftest import migrated, serving_on
from tests.support.servers.proxy import Proxy
from tests.support.service.process import Service

_numbers = itertools.count(1)

BehindProxies = Callable[..., AbstractContextManager[Service]]


@pytest.fixture(scope="session")
def fragile(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Servers of these tests alone, which survive a power cut as an operator's do."""
    with Stack(tmp_path_factory.mktemp("fragile"), durable=True) as running:
        migrated(running)
        yield running


@pytest.fixture(autouse=True)
def mended(fragile: Stack) -> Iterator[None]:
    """Whatever a test breaks is whole again for the next one."""
    yield
    fragile.valkey.resume()
    for server in (fragile.postgres, fragile.valkey, fragile.mailbox):
        server.start()
    fragile.mailbox.reply = lambda _: None


@pytest.fixture
def mailbox(fragile: Stack) -> Mailbox:
    """What the SMTP server of these tests received."""
    return fragile.mailbox


@pytest.fixture(scope="session")
def fragile_serving(
    fragile: Stack, tmp_path_factory: pytest.TempPathFactory
) -> Callable[..., AbstractContextManager[Service]]:
    """Start a service on the servers that may break, with settings of its own."""
    folder = tmp_path_factory.mktemp("services")
    return lambda **settings: serving_on(fragile, folder, **settings)


@pytest.fixture(scope="session")
def behind_proxies(fragile: Stack, tmp_path_factory: pytest.TempPathFactory) -> BehindProxies:
    """Start a service that reaches some of its servers through proxies: ``behind_proxies(smtp=proxy, workers=2)``."""
    folder = tmp_path_factory.mktemp("proxied")

    @contextmanager
    def starting(
        *,
        postgres: Proxy | None = None,
        valkey: Proxy | None = None,
        smtp: Proxy | None = None,
        workers: int = 1,
        **settings: str,
    ) -> Iterator[Service]:
        number = next(_numbers)
        database = f"proxied_{number}"
        fragile.postgres.create_database(database, template="migrated")
        # Counted down from the last one, while services without a proxy take theirs from the first one on.
        service = Service(fragile, database, 256 - number, folder, workers=workers, **settings)
        for name, proxy, port in (
            ("DATABASE_URL", postgres, fragile.postgres.port),
            ("REDIS_URL", valkey, fragile.valkey.port),
            ("SMTP_URL", smtp, fragile.mailbox.port),
        ):
            if proxy is not None:
                service.environment[name] = service.environment[name].replace(f":{port}", f":{proxy.port}")
        service.start()
        try:
            yield service
        finally:
            service.kill()

    return starting


@dataclass(frozen=True)
class Place:
    """A service behind proxies, and the servers behind them."""

    service: Service
    servers: Stack
    postgres: Proxy
    valkey: Proxy


@pytest.fixture(scope="module")
def place(fragile: Stack, behind_proxies: BehindProxies, *, full_counts: bool) -> Iterator[Place]:
    """A service that gives the next code at once, and whose connections can be held."""
    with Proxy(fragile.postgres.port) as postgres, Proxy(fragile.valkey.port) as valkey:
        workers = 2 if full_counts else 1
        with behind_proxies(postgres=postgres, valkey=valkey, workers=workers, CODE_RESEND_AFTER="0") as service:
            yield Place(service, fragile, postgres, valkey)
