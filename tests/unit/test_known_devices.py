"""Device tokens: the accounts they are valid for, how long, and what cannot be forged."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.derived_keys import Keys
from backend.protection.known_devices import KnownDevices

KEYS = Keys(["a secret of more than thirty-two letters 0123456789"])
DEVICES = KnownDevices(KEYS, ttl=90 * 86_400)
ALICE = ("alice@example.com", "alice")
BOB = ("bob@example.com", "bob")


def test_a_card_is_known_by_address_and_by_login() -> None:
    device_tokens = DEVICES.issue("", *ALICE)
    known = {DEVICES.recognise(device_tokens, name) for name in ALICE}
    assert len(known) == 1
    assert len(known.pop()) == 32


def test_a_card_is_nobody_elses() -> None:
    device_tokens = DEVICES.issue("", *ALICE)
    assert [DEVICES.recognise(device_tokens, name) for name in BOB] == ["", ""]


def test_the_device_keeps_its_name_when_its_card_is_renewed() -> None:
    first = DEVICES.issue("", *ALICE)
    again = DEVICES.issue(first, *ALICE)
    assert DEVICES.recognise(first, "alice") == DEVICES.recognise(again, "alice")
    assert len(again.split(".")) == 1


def test_a_device_is_known_to_four_accounts_under_a_name_each() -> None:
    device_tokens = ""
    for number in range(6):
        device_tokens = DEVICES.issue(device_tokens, f"user-{number}@example.com", f"user-{number}")
    known = [DEVICES.recognise(device_tokens, f"user-{number}") for number in range(6)]
    assert known[:2] == ["", ""]
    assert len(set(known[2:])) == 4


def test_a_card_ends_after_its_time() -> None:
    device_tokens = DEVICES.issue("", *ALICE)
    assert KnownDevices(KEYS, ttl=0).recognise(device_tokens, "alice") == ""


def test_a_card_outlives_a_change_of_the_secret_key_while_the_old_one_is_kept() -> None:
    old, new = "old secret of more than thirty-two letters 012345", "new secret of more than thirty-two letters 012345"
    device_tokens = KnownDevices(Keys([old]), ttl=1000).issue("", *ALICE)
    assert KnownDevices(Keys([new, old]), ttl=1000).recognise(device_tokens, "alice")
    assert not KnownDevices(Keys([new]), ttl=1000).recognise(device_tokens, "alice")


@given(st.integers(0, 51), st.integers(1, 255))
def test_no_byte_of_a_card_can_be_changed(place: int, change: int) -> None:
    raw = bytearray(base64.urlsafe_b64decode(DEVICES.issue("", *ALICE) + "=" * 3))
    raw[place] ^= change
    forged = base64.urlsafe_b64encode(raw).decode().rstrip("=")
    names = ALICE
    # Each of the two MACs stands for one name: at least one of them is dead, and no other device comes of it.
    known = [DEVICES.recognise(forged, name) for name in names]
    assert "" in known
    assert place >= 20 or known == ["", ""]


@given(st.text(max_size=600))
def test_whatever_else_is_sent_is_no_card_and_no_error(text: str) -> None:
    assert DEVICES.recognise(text, "alice") == ""
    assert DEVICES.recognise(DEVICES.issue(text, *ALICE), "alice")


@pytest.mark.parametrize("device_tokens", ["." * 400, "A" * 4000, "new", "\u00e9" * 70, "=" * 71])
def test_malformed_tokens_are_ignored(device_tokens: str) -> None:
    assert DEVICES.recognise(device_tokens, "alice") == ""
