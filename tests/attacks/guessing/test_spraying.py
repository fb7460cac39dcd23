"""threats.md row 20 and section 2.5: one guess at each of many accounts, which no account's own ladder can see."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from datetime import timedelta

import pytest

from devstack.mailbox import Mailbox
from devstack.stack import Stack
from tests.support.requests.burst import Answer, burst, in_bursts, outcomes
from tests.support.service.fixtures import service_fixture
from tests.support.service.process import AS_SHIPPED, Service
from tests.support.state.database_inspector import DatabaseInspector
from tests.support.state.time_travel import let_pass
from tests.support.users.flows import an_unknown_key
from tests.support.users.many_people import begun, confirming, metric, recoveries
from tests.support.users.people import Person, Walker, a_wrong_code, new_person
from tests.support.users.user_factory import create_users

WRONG, REPLACED = (400, "wrong_code"), (400, "code_replaced")
BEARS = 20
"""Wrong guesses a day at /recover before its codes have six digits (service.md, section 4)."""
BEARS_AT_SIX = 500
_NEARLY_HALF_A_DAY = timedelta(hours=10)
_THE_REST_OF_IT = timedelta(hours=2, minutes=20)

Flow = tuple[str, str]
"""A session key and the code that was mailed for it."""


service = service_fixture(workers=2, **AS_SHIPPED)


@pytest.fixture(autouse=True)
def _two_days_between_tests(db: DatabaseInspector) -> Iterator[None]:
    """Let every budget fill again for the next test."""
    yield
    _wait(db, timedelta(days=2))


def _wait(db: DatabaseInspector, span: timedelta) -> None:
    """Let time pass once nothing is under way: mail that waits for hours would stop all starts."""
    db.wait_until_all_mail_has_left(60)
    let_pass(db, span)


def _floor(service: Service) -> float:
    return metric(service, "auth_code_floor_digits", "recover")


def _left(service: Service) -> float:
    return metric(service, "auth_wrong_guesses_left", "recover")


def _start(service: Service, email: str) -> str:
    [key] = begun(service, [("/recover", {"email": email})])
    return key


def _guess_wrong(service: Service, flows: Sequence[Flow]) -> list[Answer]:
    """One wrong guess at each of the flows, each from another address."""
    return in_bursts(service, [confirming("recover", key, a_wrong_code(code)) for key, code in flows])


def _guess_right(service: Service, flows: Sequence[Flow]) -> list[Answer]:
    return in_bursts(service, [confirming("recover", key, code) for key, code in flows])


def _lengths(flows: Sequence[Flow]) -> set[int]:
    return {len(code) for _, code in flows}


def _opened(service: Service, mailbox: Mailbox, db: DatabaseInspector, people: Sequence[Person]) -> list[Flow]:
    """A recovery for each; codes that would be too quick for the worker are waited for."""
    flows = recoveries(service, mailbox, people)
    db.wait_until_all_mail_has_left()
    return flows


def test_row_20_a_spray_raises_the_floor_and_it_falls_again(
    service: Service, stack: Stack, db: DatabaseInspector, *, full_counts: bool
) -> None:
    people = create_users(db, 1000 if full_counts else 60, "sprayed")
    before = people[: BEARS + 15]
    flows = _opened(service, stack.mailbox, db, before)
    assert _lengths(flows) == {4}
    raises = metric(service, "auth_code_floor_raises_total", "recover")
    strangers = _start(service, new_person("stranger").email)

    # Nineteen are borne, the twentieth raises the floor.
    *most, last = flows[:BEARS]
    assert outcomes(_guess_wrong(service, most)) == {WRONG: BEARS - 1}
    assert (_floor(service), _left(service)) == (4, 1)
    assert metric(service, "auth_code_floor_raised", "recover") == 0
    assert outcomes(_guess_wrong(service, [last])) == {WRONG: 1}
    assert _floor(service) == 6
    assert metric(service, "auth_code_floor_raised", "recover") == 1
    assert metric(service, "auth_code_floor_raises_total", "recover") == raises + 1
    assert (metric(service, "auth_code_floor_raised", "login"), metric(service, "auth_code_floor_digits", "login")) == (
        0,
        4,
    )

    # Whoever opened flows first and meant to guess later finds nothing evaluated, not even the right code.
    earlier = flows[BEARS:]
    already = [len(stack.mailbox.mails(person.email)) for person in before[BEARS:]]
    unexplained = metric(service, "auth_wrong_guesses_unresolved", "recover")
    refused = _guess_right(service, earlier)
    assert outcomes(refused) == {REPLACED: len(earlier)}
    assert all("attempts_left" not in answer.json for answer in refused)
    assert metric(service, "auth_wrong_guesses_unresolved", "recover") == unexplained
    db.wait_until_all_mail_has_left()
    anew = [
        (key, stack.mailbox.wait_for(person.email, mails + 1).code or "")
        for (key, _), person, mails in zip(earlier, before[BEARS:], already, strict=True)
    ]
    assert _lengths(anew) == {6}
    # One who had guessed before has the guesses that were left; and who has no account sees the same.
    [answer] = _guess_right(service, flows[:1])
    assert answer.outcome == REPLACED
    [answer] = _guess_wrong(service, [(flows[0][0], stack.mailbox.wait_for(before[0].email, 2).code or "")])
    assert answer.json["attempts_left"] == 1
    assert outcomes(_guess_right(service, [(strangers, "0000")] * 2)) == {REPLACED: 1, WRONG: 1}
    # The refused guess was not counted: the flow has all three. Then the new code opens it.
    wrong = _guess_wrong(service, anew[:5])
    assert [answer.json["attempts_left"] for answer in wrong] == [2] * 5
    assert outcomes(_guess_right(service, anew)) == {(200, ""): len(anew)}

    rest = _opened(service, stack.mailbox, db, people[len(before) :])
    assert _lengths(rest) == {6}
    if full_counts:
        _spray_on(service, rest)

    # A bucket that is half full again lets the floor fall.
    _wait(db, _NEARLY_HALF_A_DAY)
    assert _floor(service) > 4
    _wait(db, _THE_REST_OF_IT)
    assert _floor(service) == 4
    assert metric(service, "auth_code_floor_raised", "recover") == 0
    assert _lengths(_opened(service, stack.mailbox, db, people[-5:])) == {4}


def _spray_on(service: Service, flows: Sequence[Flow]) -> None:
    """Five hundred more, now at six digits, raise the floor to eight; none that was opened before is evaluated."""
    began, evaluated = time.monotonic(), 0
    assert _floor(service) == 6
    while _floor(service) == 6:
        evaluated += 1
        # Twenty at a time while there is room for them, then one by one.
        size = 20 if evaluated < BEARS_AT_SIX - 40 else 1
        place = evaluated - 1
        assert outcomes(_guess_wrong(service, flows[place : place + size])) == {WRONG: size}
        evaluated += size - 1
    came_back = math.ceil((time.monotonic() - began) * BEARS_AT_SIX / 86_400)
    assert BEARS_AT_SIX - came_back - 5 <= evaluated <= BEARS_AT_SIX + came_back
    assert _floor(service) == 8
    assert outcomes(_guess_right(service, flows[evaluated:])) == {REPLACED: len(flows) - evaluated}


def test_row_20_parallel_guesses_from_many_addresses_find_twenty_evaluated(
    service: Service, stack: Stack, db: DatabaseInspector, *, full_counts: bool
) -> None:
    for _ in range(5 if full_counts else 1):
        people = create_users(db, 60, "burst-upon")
        flows = _opened(service, stack.mailbox, db, people)
        assert _lengths(flows) == {4}
        calls = [confirming("recover", key, a_wrong_code(code)) for key, code in flows]
        counted = outcomes(in_bursts(service, calls, size=len(calls)))
        assert counted[WRONG] == BEARS, counted
        # Whoever finds no room while others are compared is told to come again, or that the code is another now.
        assert set(counted) <= {WRONG, REPLACED, (503, "unavailable")}, counted
        assert _floor(service) == 6
        _wait(db, timedelta(days=2))
        assert (_floor(service), _left(service)) == (4, BEARS)


def test_row_20_three_guesses_at_each_account_are_counted_like_one(
    service: Service, stack: Stack, db: DatabaseInspector
) -> None:
    flows = _opened(service, stack.mailbox, db, create_users(db, 10, "thrice"))
    calls = [confirming("recover", key, a_wrong_code(code)) for key, code in flows for _ in range(3)]
    counted = outcomes(in_bursts(service, calls, size=len(calls)))
    assert _floor(service) == 6
    # A flow that was told of its new code counts on, at six digits: what was compared then is debited there.
    at_six = BEARS_AT_SIX - _left(service)
    assert counted[REPLACED] >= 1, counted
    assert counted[WRONG] - at_six == BEARS, counted


def test_row_20_known_devices_neither_count_nor_are_lengthened(
    service: Service, stack: Stack, db: DatabaseInspector
) -> None:
    person = new_person("known")
    with service.client() as client:
        walk = Walker(client, stack.mailbox)
        client.headers["X-Device"] = "new"
        registered = walk.confirm("register", *walk.open_registration(person))
        client.headers["X-Device"] = registered.headers["X-Device"]
        key, code = walk.open_recovery(person)
        db.wait_until_all_mail_has_left()

        # Its wrong guesses cost the purpose nothing.
        assert _left(service) == BEARS
        for _ in range(2):
            assert walk.confirm("recover", key, a_wrong_code(code)).json()["code"] == "wrong_code"
        assert _left(service) == BEARS

        # A raise takes nothing from it: neither the code under way nor the shortness of the next one.
        flows = _opened(service, stack.mailbox, db, create_users(db, BEARS, "sprayed"))
        assert outcomes(_guess_wrong(service, flows)) == {WRONG: BEARS}
        assert _floor(service) == 6
        assert walk.confirm("recover", key, code).status_code == 200
        key, code = walk.open_recovery(person)
        assert len(code) == 4
        assert walk.confirm("recover", key, code).status_code == 200
    # The same person on a device that nobody knows is mailed what the floor asks for.
    assert _lengths(_opened(service, stack.mailbox, db, [person])) == {6}


def test_row_20_a_success_explains_the_wrong_guesses_before_it(
    service: Service, stack: Stack, db: DatabaseInspector
) -> None:
    """Honest people mistype, too: thirty-six wrong guesses that a right one has followed raise nothing."""
    for _ in range(2):
        flows = _opened(service, stack.mailbox, db, create_users(db, 9, "clumsy"))
        for _ in range(2):
            assert outcomes(_guess_wrong(service, flows)) == {WRONG: 9}
        assert _left(service) == BEARS - 18
        assert outcomes(_guess_right(service, flows)) == {(200, ""): 9}
        assert (_floor(service), _left(service)) == (4, BEARS)


def test_row_20_a_success_gives_back_no_guess_that_the_thermostat_was_not_charged_with(
    service: Service, mailbox: Mailbox, db: DatabaseInspector
) -> None:
    # Letters are no code that could be guessed, and cost nothing. Were they given back, whoever recovers an account of
    # his own could buy two guesses at those of others each time.
    [mallory, *victims] = create_users(db, 11)
    _guess_wrong(service, _opened(service, mailbox, db, victims))
    before = _left(service)
    for _ in range(3):
        [(key, code)] = _opened(service, mailbox, db, [mallory])
        letters = in_bursts(service, [confirming("recover", key, "A" * 26)] * 2)
        assert outcomes(letters) == {WRONG: 2}
        assert [answer.status for answer in _guess_right(service, [(key, code)])] == [200]
    assert before <= _left(service) < before + 1


def test_row_20_what_was_wrong_at_one_floor_is_not_given_back_to_another(
    service: Service, mailbox: Mailbox, db: DatabaseInspector
) -> None:
    people = create_users(db, BEARS + 3)
    _guess_wrong(service, _opened(service, mailbox, db, people[:BEARS]))
    assert _floor(service) == 6
    # Minutes before the floor falls, while a code still lives, somebody guesses wrong at six digits in his own flows.
    _wait(db, _NEARLY_HALF_A_DAY + timedelta(hours=1, minutes=54))
    own = _opened(service, mailbox, db, people[BEARS:])
    assert _lengths(own) == {6}
    for _ in range(2):
        assert outcomes(_guess_wrong(service, own)) == {WRONG: 3}
    _wait(db, timedelta(minutes=9))
    assert _floor(service) == 4
    before = _left(service)
    assert outcomes(_guess_right(service, own)) == {(200, ""): 3}
    assert before <= _left(service) < before + 1


@pytest.mark.parametrize("attack", ["one flow of his own", "flows that never were"])
def test_row_20_a_burst_at_one_flow_or_at_none_replaces_nobody_elses_code(
    attack: str, service: Service, mailbox: Mailbox, db: DatabaseInspector
) -> None:
    """Three guesses are all that a flow has, however many are sent; more must not count as a spray over the service.

    Otherwise one caller at one moment, who needs no account and no mail, ends every recovery that is under way.
    """
    raises = metric(service, "auth_code_floor_raises_total", "recover")
    victims, (own, own_code) = _opened(service, mailbox, db, create_users(db, 2, attack[:3]))
    for _ in range(3):
        keys = [own if attack == "one flow of his own" else an_unknown_key() for _ in range(200)]
        seen = outcomes(burst(service, [confirming("recover", key, a_wrong_code(own_code)) for key in keys]))
        # So many at once may be more than the service compares at a time: then it says so.
        assert seen.keys() <= {(410, "flow_gone"), WRONG, (503, "unavailable")}
        assert seen[WRONG] <= 3
    assert metric(service, "auth_code_floor_raises_total", "recover") == raises
    assert outcomes(_guess_right(service, [victims])) == {(200, ""): 1}
