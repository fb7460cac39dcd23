"""threats.md, section 1 A, rows 1 to 8: guesses at a code, what each one costs, and that none is forgotten.

Rows 9 to 15 are in ``test_borrowed_codes.py``, rows 16 to 20 in ``test_skipped_steps.py``.
"""

from __future__ import annotations

import itertools
import json
import random
import select
import socket
import struct
from collections import Counter
from collections.abc import Iterator
from datetime import timedelta

import httpx
import pytest

from devstack.mailbox import Mailbox
from tests.conftest import Serving
from tests.support.requests.burst import Call, burst, burst_of, outcomes, post
from tests.support.service.contract import forms_of
from tests.support.service.process import Service, fresh_address
from tests.support.state.database_inspector import DatabaseInspector, inspect_database
from tests.support.state.eventually import eventually
from tests.support.state.time_travel import let_pass
from tests.support.users.flows import FLOWS, GONE, WRONG_CODE, an_unknown_key, opened, outcome, ready_for_a_new_password
from tests.support.users.many_people import confirming, metric, registering
from tests.support.users.owner import Owner
from tests.support.users.people import Person, Walker, a_wrong_code, new_person
from tests.support.users.session_factory import SessionFactory
from tests.support.users.signed_in import SignedIn
from tests.support.users.waiting_flows import flow_id_of

TOO_MANY = (429, "too_many_requests")
BUSY = (503, "unavailable")
SUCCESS = {"register": (201, ""), "login": (200, ""), "recover": (200, "")}
STEPS = 40
LADDER = [4] * 2 + [6] * 10 + [8]
"""Lengths of thirteen codes whose guesses are all spent: budgets of 6 and 30, three to a flow."""


@pytest.fixture(scope="module")
def apart(serving: Serving) -> Iterator[Service]:
    """A service that may be killed, whose time may pass, and whose limits are exact: they hardly ever fill again."""
    slowly = {
        "LIMIT_STEPS": f"{STEPS}/864000",
        "LIMIT_WRONG_PASSWORDS": "30/864000",
        "LIMIT_PASSWORDS": "10/864000",
        "LIMIT_DEVICE_PASSWORDS": "10/864000",
    }
    with serving(workers=2, **slowly) as running:
        yield running


@pytest.fixture
def apart_walk(apart: Service) -> Iterator[Walker]:
    with apart.walker() as walk:
        yield walk


def wrong_ones(code: str, count: int) -> list[str]:
    """Other codes of the same length, all different: what somebody tries who means it."""
    others = [f"{number:0{len(code)}d}" for number in range(10 ** len(code))]
    others.remove(code)
    return random.sample(others, count)


def starting(flow: str, person: Person) -> Call:
    starts: dict[str, Call] = {
        "register": registering(person),
        "login": ("/login", {"login": person.login, "password": person.password}),
        "recover": ("/recover", {"email": person.email}),
    }
    return starts[flow]


def somebody_for(flow: str, walk: Walker) -> Person:
    """A person who can begin the flow."""
    person = new_person("target")
    if flow != "register":
        walk.register(person)
    return person


def begin(walk: Walker, flow: str, person: Person) -> tuple[str, str]:
    path, body = starting(flow, person)
    return walk.open(path, person.email, **body)


def burn(walk: Walker, flow: str, person: Person) -> int:
    """Open a flow and waste its three guesses; return how long its code was."""
    key, code = begin(walk, flow, person)
    assert [outcome(walk.confirm(flow, key, guess)) for guess in wrong_ones(code[:4], 3)] == [WRONG_CODE] * 3
    return len(code)


@pytest.mark.parametrize("flow", FLOWS)
def test_row_01_a_flow_ends_after_three_wrong_guesses_and_the_right_code_comes_too_late(
    flow: str, walk: Walker
) -> None:
    _, key, code = opened(walk, flow)
    answers = [walk.confirm(flow, key, guess) for guess in wrong_ones(code, 10)]
    assert [outcome(answer) for answer in answers] == [WRONG_CODE] * 3 + [GONE] * 7
    assert [answer.json()["attempts_left"] for answer in answers[:3]] == [2, 1, 0]
    assert outcome(walk.confirm(flow, key, code)) == GONE


@pytest.mark.parametrize("flow", FLOWS)
def test_row_02_two_hundred_guesses_at_one_moment_are_three_guesses(
    flow: str, service: Service, walk: Walker, db: DatabaseInspector, *, full_counts: bool
) -> None:
    for _ in range(20 if full_counts else 1):
        # Where a busy machine leaves one of the two hundred no time, the service says 503. That round is bounded, too;
        # it is the undisturbed one that has to be exact.
        for _ in range(5):
            _, key, code = opened(walk, flow)
            db.wait_until_all_mail_has_left()
            answers = burst(service, [confirming(flow, key, guess) for guess in wrong_ones(code, 200)])
            seen = outcomes(answers)
            assert seen[WRONG_CODE] <= 3
            assert seen.keys() <= {WRONG_CODE, GONE, BUSY}
            if BUSY not in seen:
                break
        assert seen == {WRONG_CODE: 3, GONE: 197}
        assert sorted(answer.json["attempts_left"] for answer in answers if answer.outcome == WRONG_CODE) == [0, 1, 2]
        assert outcome(walk.confirm(flow, key, code)) == GONE


def test_row_02_one_right_code_among_two_hundred_guesses_is_lucky_at_most_once(
    service: Service, walk: Walker, db: DatabaseInspector, *, full_counts: bool
) -> None:
    successes = 0
    for _ in range(400 if full_counts else 10):
        _, key, code = opened(walk, "recover")
        db.wait_until_all_mail_has_left()
        codes = [a_wrong_code(code)] * 199 + [code]
        random.shuffle(codes)
        seen = outcomes(burst(service, [confirming("recover", key, guess) for guess in codes]))
        assert seen[SUCCESS["recover"]] <= 1
        # Evaluated are those whose answer says whether they were right; a busy machine says 503 without a look.
        assert seen[SUCCESS["recover"]] + seen[WRONG_CODE] <= 3
        assert set(seen) <= {SUCCESS["recover"], WRONG_CODE, GONE, BUSY}
        successes += seen[SUCCESS["recover"]]
    # At 3 of 200 the mean is 1.5 %, and three standard deviations above it are 6 + 7 of 400.
    assert successes <= (13 if full_counts else 3)


@pytest.mark.parametrize("flow", FLOWS)
def test_row_03_a_right_code_sent_thirty_two_times_at_once_has_one_effect(
    flow: str, service: Service, walk: Walker, db: DatabaseInspector
) -> None:
    person, key, code = opened(walk, flow)
    db.wait_until_all_mail_has_left()
    answers = burst(service, [confirming(flow, key, code)] * 32)
    assert outcomes(answers) == {SUCCESS[flow]: 1, GONE: 31}
    [row] = db.rows("SELECT id FROM users WHERE email = $1", person.email)
    [won] = [answer.json for answer in answers if answer.outcome == SUCCESS[flow]]
    if flow == "recover":
        assert walk.post("/recover/password", session_key=key, password="an old key at work").status_code == 410
        assert walk.post("/recover/password", session_key=won["session_key"], password="a new beginning").is_success
    elif flow == "login":
        assert walk.me(won["access_token"]).json()["email"] == person.email
    else:
        assert won["id"] == str(row["id"])
    # What was claimed and found done is charged nothing: the ladder has all of its guesses back.
    reserved = "SELECT count(*) FROM guess_reservations WHERE flow_id = $1"
    assert db.value(reserved, flow_id_of(key)) == 0


def test_row_03_a_new_password_sent_thirty_two_times_at_once_is_set_once(
    service: Service, walk: Walker, db: DatabaseInspector
) -> None:
    person, key = ready_for_a_new_password(walk)
    before = db.value("SELECT version FROM users WHERE email = $1", person.email)
    passwords = [f"the new passphrase {number}" for number in range(32)]
    answers = burst(service, [("/recover/password", {"session_key": key, "password": p}) for p in passwords])
    assert outcomes(answers) == {(204, ""): 1, GONE: 31}
    assert db.value("SELECT version FROM users WHERE email = $1", person.email) == before + 1
    [winner] = [p for p, answer in zip(passwords, answers, strict=True) if answer.status == 204]
    accepted = [p for p in passwords if walk.post("/login", login=person.login, password=p).status_code == 202]
    assert accepted == [winner]
    db.wait_until_all_mail_has_left()
    notices = [mail for mail in walk.mailbox.mails(person.email) if "password" in mail.subject.lower()]
    assert [mail.code for mail in notices].count(None) == 1


@pytest.mark.parametrize("flow", FLOWS)
def test_row_04_a_used_code_is_refused_for_ever_after(flow: str, apart: Service, apart_walk: Walker) -> None:
    walk = apart_walk
    person, key, code = opened(walk, flow)
    with inspect_database(apart) as db:
        db.wait_until_all_mail_has_left()
        memory = db.remember_valkey()
        assert walk.confirm(flow, key, code).is_success
        assert outcome(walk.confirm(flow, key, code)) == GONE
        for span in (timedelta(seconds=1), timedelta(minutes=1)):
            let_pass(db, span)
            assert outcome(walk.confirm(flow, key, code)) == GONE
        # A failover to a replica that lags behind brings the open flow back, and PostgreSQL has the last word.
        db.restore_valkey(memory)
        assert outcome(walk.confirm(flow, key, code)) == GONE
        db.restore_valkey(memory)
        let_pass(db, timedelta(hours=1))
        assert outcome(walk.confirm(flow, key, code)) == GONE
        db.valkey.flushdb()
        assert outcome(walk.confirm(flow, key, code)) == GONE
        assert db.value("SELECT count(*) FROM users WHERE email = $1", person.email) == 1


def test_row_04_a_password_is_not_replaced_again_after_valkey_forgot(apart: Service, apart_walk: Walker) -> None:
    person, key = ready_for_a_new_password(apart_walk)
    with inspect_database(apart) as db:
        memory = db.remember_valkey()
        first = apart_walk.post("/recover/password", session_key=key, password="the first new one")
        assert outcome(first) == (204, "")
        db.restore_valkey(memory)
        second = apart_walk.post("/recover/password", session_key=key, password="the second new one")
        assert outcome(second) == GONE
    assert apart_walk.post("/login", login=person.login, password="the first new one").status_code == 202


@pytest.mark.parametrize("flow", FLOWS)
def test_row_05_a_new_flow_brings_no_new_guesses_at_four_digits(flow: str, walk: Walker) -> None:
    person = somebody_for(flow, walk)
    assert [burn(walk, flow, person) for _ in LADDER] == LADDER


@pytest.mark.parametrize("flow", FLOWS)
def test_row_05_flows_opened_at_one_moment_share_the_budget_of_the_account(
    flow: str, service: Service, walk: Walker, mailbox: Mailbox
) -> None:
    person = somebody_for(flow, walk)
    already = len(mailbox.mails(person.email))
    keys = {answer.json["session_key"] for answer in burst(service, [starting(flow, person)] * len(LADDER))}
    assert len(keys) == len(LADDER)
    mailbox.wait_for(person.email, already + len(LADDER))
    assert Counter(len(code) for code in walk.codes(person.email)[already:]) == Counter(LADDER)


def test_row_05_the_budget_of_one_purpose_or_account_is_not_that_of_another(walk: Walker) -> None:
    victim, other = somebody_for("recover", walk), somebody_for("recover", walk)
    assert [burn(walk, "recover", victim) for _ in range(3)] == [4, 4, 6]
    assert burn(walk, "login", victim) == 4
    assert burn(walk, "recover", other) == 4


@pytest.mark.parametrize("flow", ["login", "recover"])
def test_row_06_a_success_of_the_owner_gives_an_attacker_nothing_back(flow: str, walk: Walker) -> None:
    owner = somebody_for(flow, walk)
    assert [burn(walk, flow, owner) for _ in range(2)] == [4, 4]
    for _ in range(3):
        key, code = begin(walk, flow, owner)
        assert len(code) == 6
        assert walk.confirm(flow, key, code).is_success
    assert burn(walk, flow, owner) == 6


@pytest.mark.parametrize("flow", ["login", "recover"])
def test_row_06_a_success_between_two_attacks_does_not_refill_the_budget(flow: str, walk: Walker) -> None:
    owner = somebody_for(flow, walk)
    lengths = []
    for _ in range(3):
        lengths.append(burn(walk, flow, owner))
        key, code = begin(walk, flow, owner)
        assert walk.confirm(flow, key, code).is_success
    assert lengths == [4, 4, 6]


@pytest.mark.parametrize("flow", ["login", "recover"])
def test_row_06_a_success_gives_its_own_wrong_guesses_back(flow: str, walk: Walker) -> None:
    owner = somebody_for(flow, walk)
    for _ in range(5):
        key, code = begin(walk, flow, owner)
        assert len(code) == 4
        assert [walk.confirm(flow, key, guess).status_code for guess in wrong_ones(code, 2)] == [400] * 2
        assert walk.confirm(flow, key, code).is_success


def test_row_06_successes_of_an_address_do_not_forgive_its_wrong_passwords(apart: Service, mailbox: Mailbox) -> None:
    with apart.client() as client, apart.client() as elsewhere:
        walk, away = Walker(client, mailbox), Walker(elsewhere, mailbox)
        attacker, victim = new_person("attacker"), new_person("victim")
        away.register(attacker)
        away.register(victim)
        # Each wrong password for a name of its own, so that the limit of an account does not come first.
        wrong = (walk.post("/login", login=new_person().login, password="a wrong guess") for _ in itertools.count())
        assert [outcome(next(wrong)) for _ in range(29)] == [(401, "bad_credentials")] * 29
        for _ in range(30):
            walk.log_in(attacker)
        assert outcome(next(wrong)) == (401, "bad_credentials")
        refused = next(wrong)
        assert outcome(refused) == TOO_MANY
        assert int(refused.headers["Retry-After"]) > 0
        # Were the right password let in, the refusal would tell which one is right.
        assert outcome(walk.post("/login", login=victim.login, password=victim.password)) == TOO_MANY
        assert away.post("/login", login=victim.login, password=victim.password).status_code == 202


def abandon(service: Service, flow: str, key: str, code: str, *, patient: bool) -> None:
    """Send a guess and reset the connection without having read the answer; when patient, it is already there."""
    path, form = confirming(flow, key, code)
    source = (fresh_address(), 0)
    with socket.create_connection(("127.0.0.1", service.port), timeout=20, source_address=source) as connection:
        connection.sendall(post(path, json.dumps(form).encode()))
        if patient:
            assert select.select([connection], [], [], 20)[0], "no answer came"
        # To close without lingering is to send RST, not FIN.
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def test_row_07_a_guess_whose_answer_nobody_reads_is_counted(apart: Service, apart_walk: Walker) -> None:
    walk = apart_walk
    _, key, code = opened(walk, "recover")
    abandon(apart, "recover", key, a_wrong_code(code), patient=True)
    assert walk.confirm("recover", key, a_wrong_code(code)).json()["attempts_left"] == 1
    evaluated = metric(apart, "auth_wrong_guesses_unresolved", "recover")
    _, key, code = opened(walk, "recover")
    for number, guess in enumerate(wrong_ones(code, 200)):
        # Some are cut off while they are worked on, some when all is done; the last come when the flow must be over.
        abandon(apart, "recover", key, guess, patient=number % 2 == 1)
    assert outcome(walk.confirm("recover", key, code)) == GONE
    # What was compared stays on the thermostat's account, what was not is taken off it.
    eventually(lambda: metric(apart, "auth_wrong_guesses_unresolved", "recover") == evaluated + 3, 10)


def test_row_07_a_power_cut_forgives_no_guess(apart: Service) -> None:
    waiting: dict[str, tuple[Person, str, str]] = {}
    with apart.walker() as walk:
        for flow in FLOWS:
            person = somebody_for(flow, walk)
            burn(walk, flow, person)
            waiting[flow] = person, *begin(walk, flow, person)
        # The last answers that the service gives: nothing happens between them and its end.
        for flow, (_, key, code) in waiting.items():
            assert walk.confirm(flow, key, a_wrong_code(code)).json()["attempts_left"] == 2
        apart.kill()
    apart.start()
    with apart.walker() as walk:
        for flow, (person, key, code) in waiting.items():
            answers = [walk.confirm(flow, key, a_wrong_code(code)) for _ in range(3)]
            assert [outcome(answer) for answer in answers] == [WRONG_CODE] * 2 + [GONE]
            assert [answer.json()["attempts_left"] for answer in answers[:2]] == [1, 0]
            assert burn(walk, flow, person) == 6


def routes_with(service: Service, field: str) -> set[str]:
    """The routes whose form has the field, as the service itself tells."""
    return {path for path, fields in forms_of(service).items() if field in fields}


def test_row_08_every_route_that_takes_a_code_stands_under_the_same_guard(apart: Service, mailbox: Mailbox) -> None:
    # A route that is added here needs a flow that leads to it: this test is where its author meets the guard.
    with apart.client() as client, apart.client() as elsewhere, inspect_database(apart) as db:
        walk, away = Walker(client, mailbox), Walker(elsewhere, mailbox)
        waiting = {f"/{flow}/confirm": opened(away, flow)[1:] for flow in FLOWS}
        away.register(person := new_person("owner"))
        owner = SignedIn(away, person, SessionFactory(apart, db).create(person))
        waiting["/me/email/confirm"] = owner.open_email_change(f"new-{person.email}")
        waiting["/me/delete/confirm"] = owner.open_deletion()
        assert routes_with(apart, "code") == waiting.keys()

        def at(by: Walker, path: str, **body: str) -> httpx.Response:
            signed_in = {"Authorization": owner.bearer} if path.startswith("/me/") else {}
            return by.client.post(path, json=body, headers=signed_in)

        def guess(by: Walker, path: str) -> httpx.Response:
            key, code = waiting[path]
            return at(by, path, session_key=key, code=a_wrong_code(code))

        # One counter for all of them: a wrong code at each, and the rest as guesses at flows that never were.
        assert [guess(walk, path).json()["attempts_left"] for path in waiting] == [2] * len(waiting)
        routes = itertools.cycle(waiting)
        nowhere = [
            at(walk, next(routes), session_key=an_unknown_key(), code="1234") for _ in range(STEPS - len(waiting))
        ]
        assert Counter(map(outcome, nowhere)) == {GONE: STEPS - len(waiting)}
        assert [outcome(guess(walk, path)) for path in waiting] == [TOO_MANY] * len(waiting)
        # Each flow has its own three, and what was refused has cost none of them.
        for path in waiting:
            answers = [guess(away, path) for _ in range(3)]
            assert [outcome(answer) for answer in answers] == [WRONG_CODE, WRONG_CODE, GONE]
            assert answers[0].json()["attempts_left"] == 1


def test_row_08_every_route_that_compares_a_password_is_limited_by_account(apart: Service, apart_walk: Walker) -> None:
    # /register and /recover/password store a password and compare it with none; /me/password compares another field.
    own = {"/me/password", "/me/login", "/me/email"}
    assert routes_with(apart, "password") == {"/register", "/login", "/recover/password", *own}
    assert routes_with(apart, "current_password") == {"/me/password"}
    apart_walk.register(person := new_person("target"))
    wrong: list[Call] = [("/login", {"login": person.login, "password": f"wrong guess {n}"}) for n in range(30)]
    assert outcomes(burst(apart, wrong)) == {(401, "bad_credentials"): 10, TOO_MANY: 20}
    assert outcome(apart_walk.post("/login", login=person.login, password=person.password)) == TOO_MANY


def test_row_08_wrong_passwords_of_somebody_signed_in_share_one_bucket_of_the_account(
    apart: Service, apart_walk: Walker
) -> None:
    apart_walk.register(person := new_person("target"))
    with inspect_database(apart) as db:
        thief = SignedIn(apart_walk, person, SessionFactory(apart, db).create(person))
    wrong = [
        thief.request("PUT", "/me/password", current_password="wrong guess", password="another horse"),
        thief.request("PUT", "/me/login", password="wrong guess", login="usurper"),
        thief.request("POST", "/me/email", password="wrong guess", email="usurper@example.com"),
    ]
    seen = outcomes(burst_of(apart, wrong * 10))
    assert seen == {(403, "wrong_password"): 10, TOO_MANY: 20}
    answer = thief.call("PUT", "/me/login", password=person.password, login="usurper")
    assert outcome(answer) == TOO_MANY
    # His guesses are not felt where the owner logs in.
    assert apart_walk.post("/login", login=person.login, password=person.password).status_code == 202


def test_row_05_who_has_collected_device_tokens_has_no_more_guesses_than_two_devices(
    service: Service, mailbox: Mailbox
) -> None:
    """The attacker was in the account for an hour, and has collected device tokens meanwhile."""
    owner = Owner(service, mailbox)
    device_headers = []
    for _ in range(10):
        owner.on_a_new_device()
        owner.log_in()
        device_headers.append(owner.device_headers)
    lengths: Counter[int] = Counter()
    for headers in device_headers:
        with service.client(headers=headers) as client:
            walk = Walker(client, mailbox)
            for _ in range(2):
                key, code = walk.open_recovery(owner.person)
                lengths[len(code)] += 1
                for _ in range(3):
                    assert outcome(walk.confirm("recover", key, a_wrong_code(code))) == WRONG_CODE
    # Nine guesses each, three to a code; chance may give all devices the same ladder.
    assert lengths[4] in {3, 6}, lengths
