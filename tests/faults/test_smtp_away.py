"""SMTP is away, puts us off, refuses or dies half-way: starts are answered as ever, and no code is lost."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Iterator

import httpx
import pytest

from devstack.mailbox import Mailbox
from devstack.stack import Stack
from tests.conftest import Serving
from tests.faults.conftest import BehindProxies
from tests.support.servers.proxy import Hold, Proxy
from tests.support.service.process import Service
from tests.support.state.database_inspector import DatabaseInspector, inspect_database
from tests.support.state.eventually import eventually
from tests.support.users.people import Walker, new_person
from tests.support.users.waiting_flows import Trio, WaitingFlow, a_trio, skip_the_back_off

END_OF_MAIL = b"\r\n.\r\n"

LATEST = {False: 15 + 4, True: 15 + 60 + 10}
"""Seconds from a start while SMTP was away to its mail, by `full_counts`: the back-off, and some for a busy machine."""


@pytest.fixture(scope="module")
def service(fragile_serving: Serving) -> Iterator[Service]:
    with fragile_serving() as running:
        yield running


@pytest.fixture
def trio(walk: Walker, db: DatabaseInspector) -> Trio:
    people = a_trio(walk)
    db.wait_until_all_mail_has_left()
    return people


def test_what_was_started_while_smtp_was_away_goes_on_when_it_is_back(
    walk: Walker, trio: Trio, mailbox: Mailbox, *, full_counts: bool
) -> None:
    mailbox.stop()
    began = time.monotonic()
    flows = trio.open(walk)
    time.sleep(60 if full_counts else 5)
    mailbox.start()
    latest = began + LATEST[full_counts]
    for flow in flows:
        mailbox.wait_for(flow.person.email, flow.already + 1, timeout=latest - time.monotonic())
        (code,) = flow.codes(mailbox)
        flow.confirm(walk, code)


def test_a_server_that_puts_us_off_gets_each_mail_once_when_it_takes_it(
    walk: Walker, trio: Trio, db: DatabaseInspector, mailbox: Mailbox, *, full_counts: bool
) -> None:
    refusals = 2 if full_counts else 1
    asked: Counter[str] = Counter()

    def put_off(address: str) -> str | None:
        asked[address] += 1
        return "450 4.2.0 Greylisted, try later" if asked[address] <= refusals else None

    mailbox.reply = put_off
    flows = trio.open(walk)
    for attempt in range(1, refusals + 1):
        _wait_until_delayed(db, attempt, len(flows))
        if not full_counts:
            skip_the_back_off(db)
    db.wait_until_all_mail_has_left(90)
    for flow in flows:
        (code,) = flow.codes(mailbox)
        flow.confirm(walk, code)
    assert asked == Counter({flow.person.email: refusals + 1 for flow in flows})


def _wait_until_delayed(db: DatabaseInspector, attempts: int, mails: int) -> None:
    """Return when that many mails wait after so many attempts, with the server's reason."""
    query = "SELECT count(*) FROM outbox WHERE failed_at IS NULL AND attempts = $1 AND last_error LIKE '%450%'"
    eventually(lambda: db.value(query, attempts) == mails, 90)


def test_a_refused_recipient_is_a_dead_letter_and_no_storm(
    walk: Walker, trio: Trio, db: DatabaseInspector, mailbox: Mailbox, service: Service
) -> None:
    asked: Counter[str] = Counter()

    def refuse(address: str) -> str | None:
        asked[address] += 1
        return "550 5.1.1 No such mailbox" if address == trio.nora.email else None

    mailbox.reply = refuse
    flows = trio.open(walk)
    eventually(lambda: db.value("SELECT count(*) FROM outbox WHERE failed_at IS NOT NULL") == 1, 5)
    db.wait_until_all_mail_has_left()
    # Even if it were due at once nobody would touch it again.
    db.rows("UPDATE outbox SET due_at = now() - interval '1 minute'")
    time.sleep(2.5)
    assert asked[trio.nora.email] == 1
    (letter,) = db.rows("SELECT attempts, last_error, payload FROM outbox")
    assert (letter["attempts"], "550" in letter["last_error"]) == (1, True)
    assert trio.nora.email not in str(letter), "an address is stored with a job"
    # The log names the request that the mail was for, although the worker wrote it.
    name = json.loads(letter["payload"])["request"]
    assert [line for line in service.log().splitlines() if "refused" in line and f'"request_id": "{name}"' in line]
    for flow in flows:
        if flow.person != trio.nora:
            (code,) = flow.codes(mailbox)
            flow.confirm(walk, code)
    refused = walk.confirm("register", flows[0].session_key, "0000")
    assert (refused.status_code, refused.json()["code"]) == (400, "wrong_code")
    again = walk.post("/register", **trio.forms["register"][1])
    assert again.status_code == 202
    db.wait_until_all_mail_has_left()
    db.rows("DELETE FROM outbox")


@pytest.fixture(scope="module")
def smtp(fragile: Stack) -> Iterator[Proxy]:
    with Proxy(fragile.mailbox.port) as proxy:
        yield proxy


@pytest.fixture(scope="module")
def proxied_service(behind_proxies: BehindProxies, smtp: Proxy) -> Iterator[Service]:
    with behind_proxies(smtp=smtp) as running:
        yield running


def _caught_before_the_250(walk: Walker, db: DatabaseInspector, smtp: Proxy) -> tuple[list[WaitingFlow], list[Hold]]:
    """Three flows whose mails SMTP has taken, and its answers, which are held back."""
    trio = a_trio(walk)
    db.wait_until_all_mail_has_left()
    answers = [smtp.hold(person.email.encode(), END_OF_MAIL, answer=True) for person, _ in trio.forms.values()]
    flows = trio.open(walk)
    for answer in answers:
        answer.wait()
    return flows, answers


def test_a_connection_that_dies_before_the_250_sends_two_mails_at_worst_and_the_newest_code_works(
    proxied_service: Service, smtp: Proxy, mailbox: Mailbox
) -> None:
    with proxied_service.walker() as walk, inspect_database(proxied_service) as db:
        flows, answers = _caught_before_the_250(walk, db, smtp)
        for answer in answers:
            answer.let_go(forward=False)
        delayed = "SELECT count(*) FROM outbox WHERE last_error IS NOT NULL"
        eventually(lambda: db.value(delayed) == len(flows), 5)
        skip_the_back_off(db)
        db.wait_until_all_mail_has_left()
        for flow in flows:
            older, newest = flow.codes(mailbox)
            if older != newest:
                refused = walk.confirm(flow.name, flow.session_key, older)
                assert (refused.status_code, refused.json()["code"]) == (400, "wrong_code")
            flow.confirm(walk, newest)


def test_a_mail_that_smtp_has_taken_is_not_sent_anew_because_valkey_was_away_for_a_moment(
    fragile: Stack, proxied_service: Service, smtp: Proxy, mailbox: Mailbox
) -> None:
    with proxied_service.walker() as walk, inspect_database(proxied_service) as db:
        flows, answers = _caught_before_the_250(walk, db, smtp)
        fragile.valkey.kill()
        for answer in answers:
            answer.let_go(forward=True)
        time.sleep(1)
        fragile.valkey.start()
        db.wait_until_all_mail_has_left()
        for flow in flows:
            (code,) = flow.codes(mailbox)
            flow.confirm(walk, code)


def test_starts_are_refused_alike_while_too_much_mail_waits_and_accepted_when_it_has_left(
    fragile_serving: Serving, mailbox: Mailbox
) -> None:
    with fragile_serving(MAIL_BACKLOG="5") as service, service.walker() as walk, inspect_database(service) as db:
        trio = a_trio(walk)
        db.wait_until_all_mail_has_left()
        mailbox.stop()
        for _ in range(2):
            trio.open(walk)
        eventually(lambda: walk.post("/recover", email=trio.rea.email).status_code == 503, 3)
        _is_refused_alike(walk, trio)
        mailbox.start()
        skip_the_back_off(db)
        db.wait_until_all_mail_has_left()
        eventually(lambda: walk.post("/recover", email=trio.rea.email).status_code == 202, 3)
        walk.log_in(trio.lou)


def test_a_recipient_whose_server_puts_mail_off_stops_nobody_elses_start(
    fragile_serving: Serving, mailbox: Mailbox
) -> None:
    with fragile_serving(MAIL_BACKLOG="2") as service, service.walker() as walk, inspect_database(service) as db:
        mailbox.reply = lambda to: "450 4.2.0 come back later" if to.startswith("greylisted") else None
        for person in (new_person("greylisted") for _ in range(5)):
            opened = walk.post("/register", email=person.email, login=person.login, password=person.password)
            assert opened.status_code == 202
        eventually(lambda: db.value("SELECT count(*) FROM outbox WHERE last_error LIKE 'recipient: %450%'") == 5, 5)
        time.sleep(2.5)  # longer than the service takes to look at its backlog
        walk.register(new_person())
        mailbox.reply = lambda _: None


def _is_refused_alike(walk: Walker, trio: Trio) -> None:
    """Whether somebody has an account, or knows its password, is not told by the refusal."""
    stranger = "stranger@example.com"
    answers: list[httpx.Response] = [
        *(walk.post(f"/{name}", **form) for name, (_, form) in trio.forms.items()),
        walk.post("/register", email=trio.rea.email, login="stranger", password="a good long phrase"),
        walk.post("/login", login=trio.lou.login, password="not the right one"),
        walk.post("/login", login=stranger, password="not the right one"),
        walk.post("/recover", email=stranger),
    ]
    kinds = {(answer.status_code, answer.headers["Retry-After"], answer.text) for answer in answers}
    assert len(kinds) == 1, kinds
    assert answers[0].status_code == 503
    assert answers[0].json()["code"] == "unavailable"
