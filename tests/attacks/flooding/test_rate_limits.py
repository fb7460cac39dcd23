"""threats.md, section 1 B, rows 23, 24 and 29: what is counted together, and how exactly.

Client addresses (rows 21 and 22) are in ``test_forged_client_addresses.py``, an account under attack (rows 26 to 28) in
``test_lockout.py`` and ``test_mail_floods.py``, and row 25 in ``tests/faults/test_limits_fail_closed.py``.
"""

from __future__ import annotations

import itertools
import json
import unicodedata
from collections import Counter
from datetime import timedelta

import pytest

from devstack.mailbox import Mailbox
from tests.conftest import Serving
from tests.support.requests.burst import Call, burst, post, send
from tests.support.service.fixtures import service_fixture
from tests.support.service.process import AS_SHIPPED, Service, fresh_address
from tests.support.service.slow_limits import (
    COMES_BACK,
    LOGINS,
    PASSWORDS,
    RECOVERIES,
    REGISTRATIONS,
    SLOWLY,
    STEPS,
    a_recovery,
    recoveries,
)
from tests.support.state.database_inspector import inspect_database
from tests.support.state.time_travel import let_pass
from tests.support.users.flows import MALFORMED
from tests.support.users.people import Person, Walker, new_person

_numbers = itertools.count(1)


counting = service_fixture(workers=2, **SLOWLY)
"""A service that two workers serve."""


@pytest.fixture(scope="module")
def resident(counting: Service, mailbox_of_all: Mailbox) -> Person:
    """Has an account at that service."""
    person = new_person("resident")
    with counting.client() as client:
        Walker(client, mailbox_of_all).register(person)
    return person


@pytest.fixture(scope="module")
def mailbox_of_all(counting: Service) -> Mailbox:
    return counting.stack.mailbox


def aliases(word: str) -> list[tuple[str, tuple[str, ...]]]:
    """Ways to name a path that some server somewhere takes for the path itself: targets, and headers beside them."""
    first = f"%{ord(word[0]):02x}{word[1:]}"
    targets = [f"//{word}", f"/{word}/", f"/{first}", f"/./{word}", f"/x/../{word}", f"/{word}/.", f"/{word}%2f"]
    targets += [f"/{word.upper()}", f"/{word};a=b", f"/{word}?a=b", f"/{word}#a", f"/{word}%00", f"/{word}%20"]
    targets += [
        f"/%2f{word}",
        f"\\{word}",
        f"/{word}\\",
        f"/{word}/confirm/..",
        f"http://evil.test/{word}",
        f"*/{word}",
    ]
    targets += [f"https://localhost/{word}", f"http://localhost//{word}", word]
    hosts = ["x/y?z", f"localhost/{word}?", "evil.test#", "a b", "", "localhost:99999", f"//{word}"]
    rewrites = [(f"{name}: /health/live",) for name in ("X-Original-URL", "X-Rewrite-URL", "X-Forwarded-Prefix")]
    return [(target, ()) for target in targets] + [
        (f"/{word}", headers) for headers in [(f"Host: {host}",) for host in hosts] + rewrites
    ]


def _request(target: str, headers: tuple[str, ...], body: dict[str, object]) -> bytes:
    request = post(target, json.dumps(body).encode(), *headers)
    has_a_host = any(header.startswith("Host:") for header in headers)
    return request.replace(b"Host: localhost\r\n", b"", 1) if has_a_host else request


@pytest.mark.parametrize("word", ["recover", "login"])
def test_row_23_no_other_name_of_a_path_or_host_is_a_start_that_nobody_counts(
    word: str, counting: Service, resident: Person
) -> None:
    limit = {"recover": RECOVERIES, "login": LOGINS}[word]
    address = fresh_address()

    def form() -> dict[str, object]:
        return a_recovery()[1] if word == "recover" else {"login": resident.login, "password": resident.password}

    by_alias = [send(counting, _request(*alias, form()), address).status for alias in aliases(word)]
    assert all(status == 202 or 400 <= status < 500 for status in by_alias), [
        *zip(aliases(word), by_alias, strict=True)
    ]
    # Whatever passed under another name was counted with the rest, and when the rest is used up nothing passes.
    plain = [send(counting, _request(f"/{word}", (), form()), address).status for _ in range(limit)]
    assert by_alias.count(202) + plain.count(202) == limit
    afterwards = {send(counting, _request(*alias, form()), address).status for alias in aliases(word)}
    assert all(400 <= status < 500 for status in afterwards)
    assert 429 in afterwards


def _spellings(person: Person, number: int) -> dict[str, list[str]]:
    """How one login, and one address, may be typed."""
    login, local, domain = person.login, person.email.partition("@")[0], f"b\u00fccher-{number}.example.com"
    ascii_domain = domain.encode("idna").decode()
    domains = [domain, domain.upper(), ascii_domain, ascii_domain.upper(), unicodedata.normalize("NFD", domain)]
    domains += [domain.replace("b", "\uff42"), domain.title()]
    names = [local, local.upper(), local.title()]
    return {
        "login": [login, login.upper(), login.title(), login.swapcase(), login[0].upper() + login[1:]],
        "email": [f"{name}@{domain}" for domain in domains for name in names],
    }


@pytest.mark.parametrize("kind", ["login", "email"])
def test_row_24_all_spellings_of_a_name_share_one_bucket(kind: str, counting: Service, mailbox_of_all: Mailbox) -> None:
    number = next(_numbers)
    person = new_person("row-24")
    spellings = _spellings(person, number)
    with counting.walker() as walk:
        person = Person(spellings["email"][0], person.login, person.password)
        stored = f"{person.email.partition('@')[0]}@{person.email.partition('@')[2].encode('idna').decode()}"
        key, code = walk.open("/register", stored, email=person.email, login=person.login, password=person.password)
        assert walk.confirm("register", key, code).status_code == 201

    def tried(name: str, password: str) -> tuple[int, str]:
        return send(counting, post("/login", json.dumps({"login": name, "password": password}).encode())).outcome

    # With spaces around it, it is no name at all, and costs nobody anything.
    for space in (" ", "\t", "\u00a0", "\u3000"):
        for name in (f"{space}{spellings[kind][0]}", f"{spellings[kind][0]}{space}"):
            assert tried(name, "wrong 4711") == MALFORMED
    # Each try comes from another address, so that nothing but the name can be what is counted.
    for name in itertools.islice(itertools.cycle(spellings[kind]), PASSWORDS):
        assert tried(name, "wrong 4711") == (401, "bad_credentials"), ascii(name)
    for name in spellings[kind]:
        assert tried(name, "wrong 4711") == tried(name, person.password) == (429, "too_many_requests"), ascii(name)


def _starts(kind: str, person: Person) -> tuple[list[Call], int, tuple[int, str]]:
    """300 calls that meet one limit of an address, the limit, and what those get that pass."""
    bodies: dict[str, tuple[str, int, tuple[int, str]]] = {
        "recoveries": ("/recover", RECOVERIES, (202, "")),
        "registrations": ("/register", REGISTRATIONS, (202, "")),
        "log-ins": ("/login", LOGINS, (401, "bad_credentials")),
        "steps": ("/login/confirm", STEPS, (410, "flow_gone")),
    }
    path, limit, passed = bodies[kind]

    def body(number: int) -> dict[str, object]:
        if kind == "steps":
            return {"session_key": f"{number:A>64}", "code": "1234"}
        if kind == "log-ins":
            return {"login": f"racer-{number}", "password": "wrong 4711"}
        start: dict[str, object] = {"email": f"racer-{number}@example.net"}
        if kind == "registrations":
            start |= {"login": f"racer-{number}", "password": "a fine passphrase"}
        return start

    return [(path, body(number)) for number in range(300)], limit, passed


@pytest.mark.parametrize("kind", ["recoveries", "registrations", "log-ins", "steps"])
def test_row_29_b7_three_hundred_at_once_from_one_address_pass_exactly_the_limit(
    kind: str, counting: Service, resident: Person
) -> None:
    calls, limit, passed = _starts(kind, resident)
    answers = burst(counting, calls, fresh_address())
    assert Counter(answer.outcome for answer in answers) == {passed: limit, (429, "too_many_requests"): 300 - limit}
    assert all("\r\nretry-after: " in answer.head.lower() for answer in answers if answer.status == 429)


def test_row_29_b7_three_hundred_at_once_from_everywhere_try_exactly_ten_passwords(counting: Service) -> None:
    answers = burst(counting, [("/login", {"login": "one-for-all", "password": f"wrong {n}"}) for n in range(300)])
    assert Counter(answer.status for answer in answers) == {401: PASSWORDS, 429: 300 - PASSWORDS}


def test_row_29_no_edge_of_a_window_lets_twice_as_many_pass(counting: Service) -> None:
    address = fresh_address()

    def passed() -> int:
        return sum(answer.status == 202 for answer in burst(counting, [a_recovery()] * 50, address))

    with inspect_database(counting) as db:
        assert passed() == RECOVERIES
        # A window would begin anew at one of these moments; a bucket has gained what the time is worth, and no more.
        for gained in (0, 1, 7, 0, 3, 22):
            db.wait_until_all_mail_has_left()
            let_pass(db, gained * COMES_BACK + COMES_BACK / 100)
            assert passed() == gained
        db.wait_until_all_mail_has_left()
        let_pass(db, 1000 * COMES_BACK)
        assert passed() == RECOVERIES


def test_row_29_what_was_refused_in_an_hour_is_not_taken_from_the_day(serving: Serving) -> None:
    rates = {**AS_SHIPPED, "LIMIT_RECOVERIES": "10/3600,40/8640000"}
    with serving(workers=2, **rates) as service, inspect_database(service) as db, service.client() as client:
        passed = []
        for _ in range(5):
            # An app that does not know when to stop asks three times as often as it may.
            passed.append(recoveries(client, [{}] * 30).count(202))
            db.wait_until_all_mail_has_left()
            let_pass(db, timedelta(hours=1))
        # Four full hours, and then the larger limit holds.
        assert passed == [10, 10, 10, 10, 0]
