"""threats.md, section 1 B, rows 27 and 28: an address is not drowned in mail, and its password not guessed.

Limits, ladder and thermostat are as shipped. The attackers have as many client addresses as they like: each of their
calls comes from a new one.
"""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest

from devstack.mailbox import Mailbox
from tests.support.requests.burst import Answer, Call, burst, in_bursts, post, send
from tests.support.service.process import Service
from tests.support.state.database_inspector import DatabaseInspector
from tests.support.state.time_travel import let_pass
from tests.support.users.owner import COOKIE, Owner
from tests.support.users.people import new_person

WRONG_PASSWORDS = 10
MAILS = 5


def everything_but_the_key(answer: Answer) -> tuple[int, Any, list[str]]:
    """What an answer tells: its status, its body without the session key, its headers without name and date."""
    body = {name: value for name, value in answer.json.items() if name != "session_key"}
    head = [line for line in answer.head.split("\r\n")[1:] if not line.lower().startswith(("date:", "x-request-id:"))]
    return answer.status, body, sorted(head)


def _spelled(email: str, number: int) -> str:
    return email.upper() if number % 3 == 0 else email.title() if number % 3 == 1 else email


@pytest.mark.parametrize("purpose", ["recover", "register", "login"])
def test_row_27_a_flood_of_starts_is_answered_alike_and_brings_at_most_six_mails(
    purpose: str, shipped: Service, mailbox: Mailbox, shipped_db: DatabaseInspector, *, full_counts: bool
) -> None:
    owner = Owner(shipped, mailbox).person

    def form(email: str, number: int) -> dict[str, object]:
        if purpose == "login":
            # Whoever knows the password can have mails sent, and is stopped by nothing but their number.
            return {"login": _spelled(email, number), "password": owner.password}
        if purpose == "register":
            return {"email": _spelled(email, number), "login": f"flood-{number}", "password": "a fine passphrase"}
        return {"email": _spelled(email, number)}

    calls: list[Call] = [(f"/{purpose}", form(owner.email, n)) for n in range(500 if full_counts else 60)]
    already = len(mailbox.mails(owner.email))
    # A password that is being looked at counts as wrong until it was right: ten may be under way for one account.
    at_once = 5 if purpose == "login" else 20
    answers = in_bursts(shipped, calls, at_once)
    if purpose != "login":
        # An address that nobody has is answered in the same words.
        answers += in_bursts(shipped, [(f"/{purpose}", form(f"nobody-{n}@example.net", n)) for n in range(10)])
    assert {answer.status for answer in answers} == {202}
    told = {json.dumps(everything_but_the_key(answer)) for answer in answers}
    assert len(told) == 1, told
    assert len({answer.json["session_key"] for answer in answers}) == len(answers)
    shipped_db.wait_until_all_mail_has_left()
    assert len(mailbox.mails(owner.email)) - already == MAILS
    # An hour later there is one more, and no second one.
    let_pass(shipped_db, timedelta(hours=1))
    in_bursts(shipped, calls[:20], at_once)
    shipped_db.wait_until_all_mail_has_left()
    assert len(mailbox.mails(owner.email)) - already == MAILS + 1


def test_row_27_an_address_without_an_account_is_not_flooded_by_registrations(
    shipped: Service, mailbox: Mailbox, shipped_db: DatabaseInspector
) -> None:
    person = new_person("not-yet")
    bodies: list[dict[str, object]] = [
        {"email": _spelled(person.email, n), "login": f"{person.login}-{n}", "password": person.password}
        for n in range(60)
    ]
    assert {answer.status for answer in in_bursts(shipped, [("/register", body) for body in bodies])} == {202}
    shipped_db.wait_until_all_mail_has_left()
    assert len(mailbox.mails(person.email)) == MAILS


def tries(service: Service, name: str, passwords: list[str]) -> list[Answer]:
    """One password after the other, each from another address and an unknown device."""
    requests = (post("/login", json.dumps({"login": name, "password": password}).encode()) for password in passwords)
    return [send(service, request) for request in requests]


def test_row_28_from_the_eleventh_password_on_all_are_refused_and_the_right_one_like_the_others(
    shipped: Service, mailbox: Mailbox
) -> None:
    owner = Owner(shipped, mailbox)
    login = owner.person.login
    wrong = tries(shipped, login, [f"wrong {n}" for n in range(30)])
    assert [answer.status for answer in wrong] == [401] * WRONG_PASSWORDS + [429] * 20
    (right,) = tries(shipped, login, [owner.person.password])
    assert (right.status, right.body) == (429, wrong[-1].body)
    # His own device is not one of the strangers.
    owner.log_in()
    # Nor has that opened the door for others.
    assert {answer.status for answer in tries(shipped, login, [owner.person.password, "wrong"])} == {429}


def test_row_28_thirty_passwords_at_once_are_ten_passwords(shipped: Service, mailbox: Mailbox) -> None:
    owner = Owner(shipped, mailbox)
    calls: list[Call] = [("/login", {"login": owner.person.login, "password": f"wrong {n}"}) for n in range(30)]
    statuses = sorted(answer.status for answer in burst(shipped, calls))
    assert statuses == [401] * WRONG_PASSWORDS + [429] * 20


def test_row_28_a_name_that_nobody_has_is_refused_after_as_many_and_in_the_same_words(
    shipped: Service, mailbox: Mailbox
) -> None:
    owner = Owner(shipped, mailbox)
    passwords = [f"wrong {n}" for n in range(12)]
    known, unknown = (tries(shipped, name, passwords) for name in (owner.person.login, "nobody-at-all"))
    assert [(answer.status, answer.body) for answer in known] == [(answer.status, answer.body) for answer in unknown]


def test_row_28_a_known_device_has_ten_wrong_passwords_of_its_own(shipped: Service, mailbox: Mailbox) -> None:
    owner = Owner(shipped, mailbox)
    with shipped.client(headers=owner.device_headers) as client:
        statuses = [
            client.post("/login", json={"login": owner.person.login, "password": f"wrong {n}"}).status_code
            for n in range(13)
        ]
    # A stolen device token is no way around the limit.
    assert statuses == [401] * WRONG_PASSWORDS + [429] * 3
    assert tries(shipped, owner.person.login, [owner.person.password])[0].status == 202


@pytest.mark.parametrize("token", ["", "new", "A" * 92, "x.y.z", "A" * 4_000, "..", "A" * 92 + "." + "B" * 92])
def test_row_28_a_forged_device_token_is_no_known_device(token: str, shipped: Service) -> None:
    name = new_person("forged").login
    with shipped.client() as client:
        statuses = []
        for number in range(12):
            headers = {"X-Device": token} if number % 2 else {"Cookie": f"{COOKIE}={token}"}
            body = {"login": name, "password": f"wrong {number}"}
            statuses.append(client.post("/login", json=body, headers=headers).status_code)
    assert statuses == [401] * WRONG_PASSWORDS + [429] * 2
