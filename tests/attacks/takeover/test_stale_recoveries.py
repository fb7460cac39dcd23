"""A recovery whose code was given opens its last step until the account changes, whoever holds its key."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.support.service.process import Service
from tests.support.users.flows import GONE, outcome, ready_for_a_new_password
from tests.support.users.people import Person, Walker
from tests.support.users.signed_in import SignedIn
from tests.support.users.staff import StaffMember

THIEFS = "an owl in the barn"

Change = Callable[[Walker, Person, StaffMember], None]


def _id(person: Person, admin: StaffMember) -> str:
    [found] = admin.call("GET", f"/admin/users?q={person.email}").json()["items"]
    return str(found["id"])


def _changes_the_password(walk: Walker, person: Person, _: StaffMember) -> None:
    bearer = {"Authorization": f"Bearer {walk.log_in(person)}"}
    form = {"current_password": person.password, "password": "two owls above the barn"}
    assert walk.client.put("/me/password", json=form, headers=bearer).status_code == 204


def _recovers_again(walk: Walker, person: Person, _: StaffMember) -> None:
    walk.recover(person, "two owls above the barn")


def _is_blocked(_: Walker, person: Person, admin: StaffMember) -> None:
    assert admin.call("POST", f"/admin/users/{_id(person, admin)}/block").status_code == 204


def _is_blocked_and_unblocked(walk: Walker, person: Person, admin: StaffMember) -> None:
    _is_blocked(walk, person, admin)
    assert admin.call("POST", f"/admin/users/{_id(person, admin)}/unblock").status_code == 204


def _is_deleted_and_invited_again(_: Walker, person: Person, admin: StaffMember) -> None:
    assert admin.call("DELETE", f"/admin/users/{_id(person, admin)}").status_code == 204
    form = {"email": person.email, "login": person.login}
    assert admin.call("POST", "/admin/users", json=form).status_code == 201


@pytest.mark.parametrize(
    "change",
    [_changes_the_password, _recovers_again, _is_blocked, _is_blocked_and_unblocked, _is_deleted_and_invited_again],
)
def test_what_repairs_an_account_closes_a_recovery_that_somebody_else_holds(
    change: Change, walk: Walker, admin: StaffMember
) -> None:
    person, key = ready_for_a_new_password(walk)
    change(walk, person, admin)
    assert outcome(walk.post("/recover/password", session_key=key, password=THIEFS)) == GONE
    assert outcome(walk.post("/login", login=person.login, password=THIEFS)) == (401, "bad_credentials")


def test_a_recovery_begun_in_a_block_does_not_outlive_it(walk: Walker, admin: StaffMember, alice: Person) -> None:
    _is_blocked(walk, alice, admin)
    confirmed = walk.confirm("recover", *walk.open_recovery(alice))
    key = confirmed.json()["session_key"]
    assert admin.call("POST", f"/admin/users/{_id(alice, admin)}/unblock").status_code == 204
    assert outcome(walk.post("/recover/password", session_key=key, password=THIEFS)) == GONE


def test_of_a_recovery_and_a_change_of_address_at_one_moment_one_takes_effect(service: Service, walk: Walker) -> None:
    for number in range(6):
        person, key = ready_for_a_new_password(walk)
        owner = SignedIn(walk, person, walk.open_session(person))
        change = owner.open_email_change(f"moved-{number}-{person.email}")
        with service.client() as other, ThreadPoolExecutor(2) as both:
            recovered = both.submit(other.post, "/recover/password", json={"session_key": key, "password": THIEFS})
            moved = both.submit(owner.confirm, "email", *change)
            answers = recovered.result().status_code, moved.result().status_code
        assert answers in ((204, 410), (204, 401), (410, 200)), answers
