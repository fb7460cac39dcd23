"""threats.md, section 1 B, row 26: whoever floods an account cannot lock its owner out.

Limits, ladder and thermostat are as shipped. The attackers have as many client addresses as they like: each of their
calls comes from a new one, which is more than the row gives them.
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

import pytest

from devstack.mailbox import Mailbox
from tests.support.requests.burst import burst, post, send
from tests.support.service.process import Service
from tests.support.state.database_inspector import DatabaseInspector
from tests.support.state.eventually import eventually
from tests.support.state.time_travel import let_pass
from tests.support.users.owner import Owner
from tests.support.users.people import Person, Walker

MAILS = 5
"""To one address for one purpose, before one an hour (LIMIT_MAILS)."""

RESCUE_CODE = re.compile(r"^[A-Z2-7]{26}$", re.MULTILINE)


def newest_rescue_code(mailbox: Mailbox, person: Person) -> str:
    """The newest way in; mails that leave at one moment arrive in any order, so that it need not be the last."""
    found = [code for mail in mailbox.mails(person.email) for code in RESCUE_CODE.findall(mail.text)]
    assert found, "no mail of the flood brings a rescue code"
    return str(found[-1])


def attack(service: Service, person: Person, callers: int = 20) -> None:
    """One round: each caller tries a password, starts a recovery and spends its guesses, all of them wrong."""
    burst(service, [("/login", {"login": person.login, "password": f"wrong {n}"}) for n in range(callers)])
    started = burst(service, [("/recover", {"email": person.email})] * callers)
    keys = [answer.json["session_key"] for answer in started if answer.status == 202]
    # With a letter in front no guess is right by chance; with digits alone one in three thousand might be.
    burst(service, [("/recover/confirm", {"session_key": key, "code": "A" * 26}) for key in keys])
    burst(service, [("/recover/confirm", {"session_key": key, "code": "000000000000"}) for key in keys])


@contextmanager
def under_attack(service: Service, mailbox: Mailbox, person: Person) -> Iterator[None]:
    """Have the account attacked for as long as this lasts, and before until the flood has had all the mail there is.

    No further mail of the flood then comes between the owner and his own.
    """
    over, failures = threading.Event(), list[BaseException]()
    begun = threading.Event()

    def go_on() -> None:
        try:
            while not over.is_set():
                attack(service, person)
                begun.set()
        except BaseException as failure:  # noqa: BLE001 - told to the test, which would not hear of it
            failures.append(failure)
            begun.set()

    bots = threading.Thread(target=go_on)
    bots.start()
    try:
        assert begun.wait(30)
        eventually(lambda: sum("Recover" in mail.subject for mail in mailbox.mails(person.email)) >= MAILS, within=20)
        yield
    finally:
        over.set()
        bots.join()
    assert not failures


@pytest.mark.parametrize("by_cookie", [True, False], ids=["a browser", "an app"])
def test_row_26_the_owner_on_a_known_device_feels_nothing_of_a_flood(
    shipped: Service, mailbox: Mailbox, *, by_cookie: bool, full_counts: bool
) -> None:
    owner = Owner(shipped, mailbox, by_cookie=by_cookie)
    with under_attack(shipped, mailbox, owner.person):
        for _ in range(60 if full_counts else 3):
            owner.log_in()
            assert owner.recover() == 4
    # The same flood is felt elsewhere: whoever nobody knows is not let in with the right password.
    stranger = post("/login", json.dumps({"login": owner.person.login, "password": owner.person.password}).encode())
    assert send(shipped, stranger).status == 429


def test_row_26_the_flood_itself_brings_the_owner_a_way_in_on_a_new_device(
    shipped: Service, mailbox: Mailbox, shipped_db: DatabaseInspector
) -> None:
    owner = Owner(shipped, mailbox)
    owner.on_a_new_device()
    with under_attack(shipped, mailbox, owner.person):
        backstage_had = len(mailbox.mails(owner.person.email))
        rescue = newest_rescue_code(mailbox, owner.person)
        assert owner.recover_by(rescue).status_code == 200
        # From now on this device is known, too.
        owner.log_in()
        # A rescue code opens once.
        owner.on_a_new_device()
        assert owner.recover_by(rescue).status_code == 400
    assert backstage_had >= 2  # the registration's, and one at least that the flood had sent


def test_row_26_a_rescue_code_that_was_used_makes_room_for_the_mail_of_the_next(
    shipped: Service, mailbox: Mailbox, shipped_db: DatabaseInspector
) -> None:
    # An owner with several new devices would otherwise use up his rescue codes and be sent nothing for an hour.
    owner = Owner(shipped, mailbox)
    for _ in range(2):
        attack(shipped, owner.person)
    shipped_db.wait_until_all_mail_has_left()
    had = len(mailbox.mails(owner.person.email))
    owner.on_a_new_device()
    assert owner.recover_by(newest_rescue_code(mailbox, owner.person)).status_code == 200
    owner.on_a_new_device()
    owner.recover()
    shipped_db.wait_until_all_mail_has_left()
    # Two notices of a new password, and the code of the second recovery.
    assert len(mailbox.mails(owner.person.email)) == had + 3


def test_row_26_whenever_a_mail_is_refused_a_rescue_code_lies_in_the_mailbox_and_lives(
    shipped: Service, mailbox: Mailbox, shipped_db: DatabaseInspector
) -> None:
    # A bot takes each mail as soon as there is one again; the owner looks just before the next.
    owner = Owner(shipped, mailbox)
    email = owner.person.email
    for _ in range(3):
        attack(shipped, owner.person, callers=8)
        shipped_db.wait_until_all_mail_has_left()
        let_pass(shipped_db, timedelta(minutes=57))
        owner.on_a_new_device()
        already = len(mailbox.mails(email))
        rescue = newest_rescue_code(mailbox, owner.person)
        assert owner.recover_by(rescue).status_code == 200
        shipped_db.wait_until_all_mail_has_left()
        # What came meanwhile is the notice that the password was changed, and no code.
        assert [mail.code for mail in mailbox.mails(email)[already:]] in ([None], [])
        let_pass(shipped_db, timedelta(minutes=3))


def test_row_26_a_rescue_code_opens_nobody_elses_flow_and_no_other_purpose(
    shipped: Service, mailbox: Mailbox, shipped_db: DatabaseInspector
) -> None:
    owner, other = Owner(shipped, mailbox), Owner(shipped, mailbox)
    attack(shipped, owner.person, callers=8)
    shipped_db.wait_until_all_mail_has_left()
    rescue = newest_rescue_code(mailbox, owner.person)
    assert other.recover_by(rescue).status_code == 400
    with shipped.client(headers=owner.device_headers) as client:
        walk = Walker(client, mailbox)
        key, _ = walk.open_login(owner.person)
        assert walk.confirm("login", key, rescue).status_code == 400
    assert owner.recover_by(rescue).status_code == 200, "a wrong place has used the rescue code up"
