"""Real PostgreSQL, Valkey and SMTP, started once; a service with a database of its own wherever a test wants one."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import httpx
import hypothesis
import pytest

from devstack.mailbox import Mailbox
from devstack.stack import Stack
from tests.support.service.process import ROOT, Service
from tests.support.state.database_inspector import DatabaseInspector, inspect_database
from tests.support.users.people import Person, Walker, new_person
from tests.support.users.session_factory import SessionFactory
from tests.support.users.staff import Staff, StaffMember

_TEMPLATE = "migrated"

_LONGEST = (
    "faults/test_servers_away",
    "behaviour/tokens/test_key_rotation",
    "behaviour/http/test_round_trips",
    "faults/test_smtp_away",
    "faults/test_killed_between_steps",
    "attacks/takeover/test_email_identity",
    "behaviour/commands/test_import_users",
    "attacks/guessing/test_borrowed_codes",
    "attacks/guessing/test_skipped_steps",
    "attacks/guessing/test_code_guessing",
    "behaviour/flows/test_illegal_steps",
    "behaviour/commands/test_start",
    "behaviour/commands/test_stop",
    "devstack/test_stack",
    "devstack/test_run",
    "attacks/takeover/test_revoked_sessions",
    "attacks/guessing/test_honest_traffic",
    "attacks/guessing/test_spraying",
    "attacks/flooding/test_owner_under_attack",
    "attacks/flooding/test_forged_client_addresses",
    "attacks/guessing/test_a_year_of_guessing",
    "attacks/disclosure/test_mixed_up_answers",
    "attacks/disclosure/test_leaked_secrets",
    "unit/jwt_tools/test_fetch",
    "faults/test_killed_at_random",
    "faults/test_killed_with_mail",
    "attacks/flooding/test_hashing_saturation",
    "behaviour/http/test_openapi_contract",
)
"""Files that take more than ten seconds; begun last, each would keep the machine waiting for a single row of tests."""

_numbers = itertools.count(1)

# How quickly Hypothesis draws says how busy the machine is, and nothing of what is tested.
hypothesis.settings.register_profile("beside others", suppress_health_check=[hypothesis.HealthCheck.too_slow])
hypothesis.settings.load_profile("beside others")

Serving = Callable[..., AbstractContextManager[Service]]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    places = {f"{ROOT / 'tests' / name}.py": place for place, name in enumerate(_LONGEST)}
    items.sort(key=lambda item: places.get(str(item.path), len(places)))


@pytest.fixture(scope="session")
def full_counts() -> bool:
    """Whether this is ``make test-long``, with the full counts of the issue, or ``make test`` with reduced ones."""
    return os.environ.get("TEST_COUNTS") == "full"


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """The servers that most tests share; nobody may stop them."""
    with Stack(tmp_path_factory.mktemp("stack"), durable=False) as running:
        migrated(running)
        yield running


def migrated(stack: Stack) -> None:
    """Make the database that every service of this stack gets a copy of."""
    stack.postgres.create_database(_TEMPLATE)
    environment = Service(stack, _TEMPLATE, 0, stack.data).environment
    subprocess.run([sys.executable, "main.py", "migrate"], cwd=ROOT, env=environment, check=True, capture_output=True)


def service_on(stack: Stack, folder: Path, *, workers: int = 1, **settings: str) -> Service:
    """A service with a fresh database and a fresh corner of Valkey; it is not started."""
    number = next(_numbers)
    database = f"auth_{number}"
    stack.postgres.create_database(database, template=_TEMPLATE)
    return Service(stack, database, number % 256, folder, workers=workers, **settings)


@contextmanager
def serving_on(stack: Stack, folder: Path, *, workers: int = 1, **settings: str) -> Iterator[Service]:
    """The same, running."""
    service = service_on(stack, folder, workers=workers, **settings)
    service.start()
    try:
        yield service
    finally:
        service.kill()


@pytest.fixture(scope="session")
def serving(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Serving:
    """Start a service with settings of its own: ``with serving(workers=2, CODE_TTL="3") as service``."""
    folder = tmp_path_factory.mktemp("services")
    return lambda **settings: serving_on(stack, folder, **settings)


@pytest.fixture
def new_service(stack: Stack, tmp_path: Path) -> Iterator[Callable[..., Service]]:
    """Make services with settings of their own, which the test starts; they are killed at its end."""
    made: list[Service] = []

    def make(**settings: Any) -> Service:
        made.append(service_on(stack, tmp_path, **settings))
        return made[-1]

    yield make
    for service in made:
        service.kill()


@pytest.fixture
def unstarted(new_service: Callable[..., Service]) -> Service:
    """A service that is not started, with an empty database."""
    return new_service()


@pytest.fixture(scope="session")
def service(serving: Serving) -> Iterator[Service]:
    """The service that most tests share: two worker processes, and cheap hashes."""
    with serving(workers=2) as running:
        yield running


@pytest.fixture
def client(service: Service) -> Iterator[httpx.Client]:
    """Calls the shared service from an address of its own."""
    with service.client() as calling:
        yield calling


@pytest.fixture(scope="module")
def db(service: Service) -> Iterator[DatabaseInspector]:
    """What the servers of the service hold."""
    with inspect_database(service) as inspector:
        yield inspector


@pytest.fixture(scope="module")
def session_factory(service: Service, db: DatabaseInspector) -> SessionFactory:
    """Writes sessions into the database."""
    return SessionFactory(service, db)


@pytest.fixture(scope="module")
def staff(service: Service, db: DatabaseInspector) -> Iterator[Staff]:
    """Makes users with roles."""
    with service.client() as client:
        yield Staff(service, db, client)


@pytest.fixture
def admin(staff: Staff) -> StaffMember:
    """A new administrator, signed in."""
    return staff.admin()


@pytest.fixture
def mailbox(stack: Stack) -> Mailbox:
    """What the SMTP server received."""
    return stack.mailbox


@pytest.fixture
def walk(client: httpx.Client, mailbox: Mailbox) -> Walker:
    """Walks people through flows of the shared service."""
    return Walker(client, mailbox)


@pytest.fixture
def alice(walk: Walker) -> Person:
    """Has an account."""
    person = new_person("alice")
    walk.register(person)
    return person


@pytest.fixture
def bob() -> Person:
    """Has none."""
    return new_person("bob")
