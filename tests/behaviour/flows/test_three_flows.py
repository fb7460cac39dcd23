"""The three flows, as a client walks through them."""

from __future__ import annotations

from tests.support.users.people import Person, Walker


def test_a_person_registers_logs_in_and_reads_the_own_account(walk: Walker, bob: Person) -> None:
    user = walk.register(bob)
    me = walk.me(walk.log_in(bob))
    assert me.status_code == 200
    assert me.json() == user
    assert me.json()["roles"] == ["user"]


def test_a_lost_password_is_replaced_and_the_old_one_refused(walk: Walker, alice: Person) -> None:
    renewed = walk.recover(alice, "a quite different passphrase")
    refused = walk.post("/login", login=alice.login, password=alice.password)
    assert (refused.status_code, refused.json()["code"]) == (401, "bad_credentials")
    walk.log_in(renewed)


def test_a_password_may_be_full_of_brackets(walk: Walker, bob: Person) -> None:
    bracketed = bob.with_password("[{" * 30 + "}]" * 30)
    walk.register(bracketed)
    walk.log_in(bracketed)
