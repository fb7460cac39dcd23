"""The example as its reader runs it: a process of its own that knows the public address of the real service alone."""

from __future__ import annotations

import secrets
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import httpx
import jwt
import pytest

from devstack.mailbox import Mailbox
from devstack.ports import free_port
from jwt_tools.keys import SigningKey
from tests.conftest import Serving
from tests.support.service.example import running_example
from tests.support.service.process import Service
from tests.support.service.public_address import PublicAddress
from tests.support.state.database_inspector import DatabaseInspector
from tests.support.users.people import Walker, new_person

METADATA = "GET /.well-known/oauth-authorization-server"
JWKS = "GET /.well-known/jwks.json"


@pytest.fixture(scope="module")
def address() -> Iterator[PublicAddress]:
    with PublicAddress() as standing:
        yield standing


@pytest.fixture(scope="module")
def service(serving: Serving, address: PublicAddress) -> Iterator[Service]:
    """The real service, known to the world by its public address."""
    with serving(ISSUER=address.url) as running:
        address.leads_to(running)
        yield running


@pytest.fixture
def example(service: Service, address: PublicAddress, tmp_path: Path) -> Iterator[httpx.Client]:
    """Freshly started, so that it has no keys yet."""
    with running_example(address.url, tmp_path) as client:
        yield client


@pytest.fixture(scope="module")
def analyst_role(db: DatabaseInspector) -> None:
    """Create the role that may read reports."""
    db.rows("INSERT INTO permissions VALUES ('reports:read', 'Read reports.')")
    db.rows("INSERT INTO roles VALUES ('analyst', 'Reads reports.')")
    db.rows("INSERT INTO role_permissions VALUES ('analyst', 'reports:read')")


@pytest.fixture
def tokens(service: Service, db: DatabaseInspector, mailbox: Mailbox, analyst_role: None) -> dict[str, str]:
    """Access tokens of three people who have just logged in, by their role."""
    issued = {}
    with service.client() as calling:
        walk = Walker(calling, mailbox)
        for role in ("user", "analyst", "admin"):
            person = new_person(role)
            user = walk.register(person)
            if role != "user":
                db.rows("INSERT INTO user_roles VALUES ($1::text::uuid, $2)", user["id"], role)
            issued[role] = walk.log_in(person)
    return issued


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def test_each_route_opens_to_whom_it_says_and_to_nobody_else(example: httpx.Client, tokens: dict[str, str]) -> None:
    for path, welcome in (("/reports", {"analyst"}), ("/drafts", {"admin"}), ("/whoami", {"user", "analyst", "admin"})):
        assert example.get(path).status_code == 401
        for role, token in tokens.items():
            answer = example.get(path, headers=bearer(token))
            expected = (200, None) if role in welcome else (403, "insufficient_scope")
            assert (answer.status_code, answer.json().get("code") if answer.is_error else None) == expected, (
                path,
                role,
            )
    claims = jwt.decode(tokens["user"], options={"verify_signature": False})
    whoami = example.get("/whoami", headers=bearer(tokens["user"])).json()
    assert whoami == {"id": claims["sub"], "login": claims["login"]}


def test_a_thousand_protected_requests_cost_two_calls_to_the_issuer(
    example: httpx.Client, tokens: dict[str, str], address: PublicAddress
) -> None:
    """Counted: every request that came to the issuer's public address while the example answered 1,200 by 200."""
    before = Counter(address.calls)
    answers = Counter(example.get("/reports", headers=bearer(tokens["analyst"])).status_code for _ in range(1200))
    assert answers == {200: 1200}
    assert Counter(address.calls) - before == {METADATA: 1, JWKS: 1}


def test_a_thousand_forged_names_of_keys_cost_one_call_a_minute(
    example: httpx.Client, tokens: dict[str, str], address: PublicAddress, *, full_counts: bool
) -> None:
    """Counted: every request that came to the issuer's public address, from one moment to another.

    With full counts the forger goes on for three minutes, otherwise for one round of 1,000 names.
    """
    assert example.get("/whoami", headers=bearer(tokens["user"])).status_code == 200
    before = Counter(address.calls)
    began = time.monotonic()
    for _ in range(3 if full_counts else 1):
        began_round = time.monotonic()
        for _ in range(1000):
            assert example.get("/whoami", headers=bearer(forged(tokens["user"]))).status_code == 401
        if full_counts:
            time.sleep(max(0.0, 61 - (time.monotonic() - began_round)))
    minutes = int((time.monotonic() - began) // 60) + 1
    spent = Counter(address.calls) - before
    # In five minutes the list itself is out of date, which is no forger's doing; nobody takes that long here.
    assert set(spent) == {JWKS}
    assert 1 <= spent[JWKS] <= minutes
    assert example.get("/whoami", headers=bearer(tokens["user"])).status_code == 200


FORGER = SigningKey.generate()


def forged(token: str) -> str:
    """The same claims, signed by a forger under a name that was never used before."""
    claims = jwt.decode(token, options={"verify_signature": False})
    headers = {"typ": "at+jwt", "kid": secrets.token_urlsafe(32)}
    return jwt.encode(claims, FORGER.private_key, algorithm=FORGER.algorithm, headers=headers)


def test_the_example_works_on_while_the_issuer_is_away(
    example: httpx.Client, tokens: dict[str, str], address: PublicAddress
) -> None:
    assert example.get("/whoami", headers=bearer(tokens["user"])).status_code == 200
    address.swallow = True
    try:
        for _ in range(100):
            assert example.get("/whoami", headers=bearer(tokens["user"])).status_code == 200
        assert example.get("/reports", headers=bearer(tokens["user"])).status_code == 403
    finally:
        address.swallow = False


def test_an_example_that_has_never_reached_its_issuer_says_so_within_three_seconds(
    tokens: dict[str, str], tmp_path: Path
) -> None:
    with running_example(f"http://127.0.0.1:{free_port()}", tmp_path) as example:
        for _ in range(20):
            answer = example.get("/whoami", headers=bearer(tokens["user"]))
            assert (answer.status_code, answer.json()["code"]) == (503, "unavailable")
            assert int(answer.headers["Retry-After"]) > 0
            assert answer.elapsed.total_seconds() < 3
