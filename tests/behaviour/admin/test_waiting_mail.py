"""/admin/mail: what has not left is seen without its address, and is sent all the same."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any

import pytest

from devstack.mailbox import Mailbox
from tests.support.state.eventually import eventually
from tests.support.users.flows import MALFORMED, outcome
from tests.support.users.people import new_person
from tests.support.users.staff import Staff, StaffMember

NO_MAIL = (404, "mail_not_found")


@contextmanager
def answering(mailbox: Mailbox, address: str, answer: str) -> Iterator[None]:
    """The mail server says this of an address, and quotes it, as many do."""
    mailbox.reply = lambda to: f"{answer} <{address}>: canary" if to == address else None
    try:
        yield
    finally:
        mailbox.reply = lambda _: None


def listed(admin: StaffMember, user_id: object, **query: object) -> list[dict[str, Any]]:
    """The mail about a user."""
    answer = admin.get("/admin/mail", limit=200, **query)
    assert answer.status_code == 200, answer.text
    assert "canary" not in answer.text
    return [mail for mail in answer.json()["items"] if mail["user_id"] == str(user_id)]


def refused(admin: StaffMember, mailbox: Mailbox, answer: str, state: str) -> tuple[str, str, dict[str, Any]]:
    """Somebody whose invitation the mail server has answered so: address, id, and the mail."""
    guest = new_person("guest")
    with answering(mailbox, guest.email, answer):
        user_id = admin.post("/admin/users", email=guest.email, login=guest.login).json()["id"]
        eventually(lambda: any(mail["last_error"] for mail in listed(admin, user_id, state=state)), 5)
    [mail] = listed(admin, user_id, state=state)
    return guest.email, user_id, mail


def test_a_dead_letter_is_seen_without_its_address_and_is_sent_again(
    staff: Staff, admin: StaffMember, mailbox: Mailbox
) -> None:
    email, user_id, mail = refused(admin, mailbox, "550 5.1.1", "dead")
    assert mail["kind"] == "invitation"
    assert mail["attempts"] == 1
    assert mail["failed_at"] is not None
    assert mail["last_error"].endswith(": 550 5.1.1")
    assert email not in str(mail)
    assert listed(admin, user_id, state="waiting") == []
    assert listed(admin, user_id) == [mail]
    assert mailbox.mails(email) == []
    assert admin.post(f"/admin/mail/{mail['id']}/send-again").status_code == 204
    assert "You have an account" in mailbox.wait_for(email).subject
    staff.db.wait_until_all_mail_has_left()
    assert listed(admin, user_id) == []
    assert outcome(admin.post(f"/admin/mail/{mail['id']}/send-again")) == NO_MAIL
    [line] = admin.get("/admin/audit", event="mail.sent_again", subject=user_id).json()["items"]
    assert (line["actor"], line["details"]) == (str(admin.id), {"mail": mail["id"], "kind": "invitation"})


def test_mail_that_waits_for_its_next_try_is_tried_at_once(staff: Staff, admin: StaffMember, mailbox: Mailbox) -> None:
    email, _, mail = refused(admin, mailbox, "450 4.2.0", "waiting")
    assert mail["failed_at"] is None
    assert datetime.fromisoformat(mail["due_at"]) - datetime.fromisoformat(mail["created_at"]) > timedelta(seconds=10)
    assert admin.post(f"/admin/mail/{mail['id']}/send-again").status_code == 204
    mailbox.wait_for(email, timeout=3)


def test_a_dead_letter_has_a_life_as_long_as_its_first(staff: Staff, admin: StaffMember, mailbox: Mailbox) -> None:
    email, user_id, mail = refused(admin, mailbox, "550", "dead")
    staff.db.rows(
        "UPDATE outbox SET created_at = created_at - interval '9 d', give_up_at = give_up_at - interval '9 d', "
        "attempts = 40 WHERE id = $1",
        mail["id"],
    )
    with answering(mailbox, email, "450"):
        assert admin.post(f"/admin/mail/{mail['id']}/send-again").status_code == 204
        eventually(lambda: "450" in str(listed(admin, user_id)[0]["last_error"]), 5)
    [again] = listed(admin, user_id, state="waiting")
    assert again["attempts"] == 1
    created = datetime.fromisoformat(again["created_at"])
    assert created >= datetime.fromisoformat(mail["failed_at"])
    assert datetime.fromisoformat(again["gives_up_at"]) - created == timedelta(hours=48)
    staff.db.rows("DELETE FROM outbox WHERE id = $1", mail["id"])


def test_mail_that_is_being_sent_is_not_sent_twice(staff: Staff, admin: StaffMember) -> None:
    member = staff.appoint()
    # As a worker has it in hand: due again when its lease ends, in a few seconds.
    job = staff.db.value(
        "INSERT INTO outbox (kind, payload, attempts, due_at, give_up_at) VALUES ('password_changed', "
        "jsonb_build_object('user_id', $1::text, 'at', now()), 1, now() + interval '5 s', now() + interval '1 h') "
        "RETURNING id",
        str(member.id),
    )
    [before] = listed(admin, member.id)
    assert admin.post(f"/admin/mail/{job}/send-again").status_code == 204
    assert listed(admin, member.id) == [before]
    staff.db.rows("DELETE FROM outbox WHERE id = $1", job)


def test_a_code_whose_flow_is_over_is_dropped_and_names_nobody(staff: Staff, admin: StaffMember) -> None:
    job = staff.db.value(
        "INSERT INTO outbox (kind, payload, attempts, created_at, give_up_at, failed_at) VALUES ('code', "
        "jsonb_build_object('flow', repeat('00', 16), 'serial', 1), 9, now() - interval '3 d', "
        "now() - interval '3 d' + interval '30 min', now() - interval '2 d') RETURNING id"
    )
    [mail] = [mail for mail in admin.get("/admin/mail", state="dead").json()["items"] if mail["id"] == job]
    assert (mail["kind"], mail["user_id"]) == ("code", None)
    assert admin.post(f"/admin/mail/{job}/send-again").status_code == 204
    eventually(lambda: outcome(admin.post(f"/admin/mail/{job}/send-again")) == NO_MAIL, 5)


def test_pages_show_every_mail_once_the_newest_first(staff: Staff, admin: StaffMember) -> None:
    staff.db.rows(
        "INSERT INTO outbox (kind, payload, give_up_at, failed_at) SELECT 'paged', '{}', now(), now() "
        "FROM generate_series(1, 7)"
    )
    ids: list[int] = []
    cursor: dict[str, object] = {}
    while True:
        page = admin.get("/admin/mail", state="dead", limit=3, **cursor).json()
        ids += [mail["id"] for mail in page["items"] if mail["kind"] == "paged"]
        if page["next"] is None:
            break
        cursor = {"cursor": page["next"]}
    assert len(ids) == 7
    assert ids == sorted(set(ids), reverse=True)
    staff.db.rows("DELETE FROM outbox WHERE kind = 'paged'")


@pytest.mark.parametrize(
    "query",
    [
        {"state": "canary"},
        {"state": ""},
        {"limit": "canary"},
        {"limit": 0},
        {"cursor": "canary"},
        {"cursor": "A" * 22},
        {"cursor": base64.urlsafe_b64encode(b"\xff" * 8).decode().rstrip("=")},  # a number that PostgreSQL has not
        {"kind": "canary"},
    ],
    ids=str,
)
def test_a_query_that_does_not_fit_is_refused_without_an_echo(query: dict[str, object], admin: StaffMember) -> None:
    answer = admin.get("/admin/mail", **query)
    assert outcome(answer) == MALFORMED
    assert "canary" not in answer.text


@pytest.mark.parametrize("mail_id", [0, -1, 2**63, "9" * 5_000, "canary", "1.5", "%00"])
def test_what_is_no_number_of_a_mail_is_refused(mail_id: object, admin: StaffMember) -> None:
    answer = admin.post(f"/admin/mail/{mail_id}/send-again")
    assert outcome(answer) == MALFORMED
    assert "canary" not in answer.text


def test_a_number_that_no_mail_has_is_not_found(admin: StaffMember) -> None:
    assert outcome(admin.post(f"/admin/mail/{2**63 - 1}/send-again")) == NO_MAIL
