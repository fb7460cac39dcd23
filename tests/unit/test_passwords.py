"""How passwords are hashed, and which are refused."""

from __future__ import annotations

import base64
import hashlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backend.passwords.hasher import hash_password, verify_password
from backend.passwords.policy import normalise, refuse_common, refuse_own_words
from models.errors import WeakPassword

PASSWORDS = st.text(st.characters(codec="utf-8"), min_size=8, max_size=128)
ALICE = ("alice.liddell@example.com", "white-rabbit", "Wonderland")


def test_a_hash_is_what_django_would_store() -> None:
    algorithm, iterations, salt, digest = hash_password("correct horse battery", 1200).split("$")
    assert (algorithm, iterations, len(salt), salt.isalnum()) == ("pbkdf2_sha256", "1200", 22, True)
    expected = hashlib.pbkdf2_hmac("sha256", b"correct horse battery", salt.encode(), 1200)
    assert base64.b64decode(digest) == expected


def test_a_hash_made_elsewhere_in_this_format_is_understood() -> None:
    digest = base64.b64encode(hashlib.pbkdf2_hmac("sha256", b"sesame opens", b"saltsaltsalt", 1000)).decode()
    assert verify_password("sesame opens", f"pbkdf2_sha256$1000$saltsaltsalt${digest}")
    assert not verify_password("sesame closes", f"pbkdf2_sha256$1000$saltsaltsalt${digest}")


def test_no_two_hashes_are_alike() -> None:
    assert len({hash_password("one password", 1) for _ in range(50)}) == 50


@settings(max_examples=50)
@given(PASSWORDS, PASSWORDS)
def test_a_password_matches_its_own_hash_and_no_other(one: str, other: str) -> None:
    assert verify_password(one, hash_password(one, 1))
    assert verify_password(other, hash_password(one, 1)) == (normalise(one) == normalise(other))


def test_two_ways_to_type_an_umlaut_are_one_password() -> None:
    assert verify_password("scho\u0308ner Tag", hash_password("sch\u00f6ner Tag", 1))


@pytest.mark.parametrize("password", ["password1", "PASSWORD", "12345678", "qwertyuiop", "ｐａｓｓｗｏｒｄ"])
def test_common_passwords_are_refused(password: str) -> None:
    with pytest.raises(WeakPassword):
        refuse_common(password)


@pytest.mark.parametrize(
    "password",
    [
        "alice.liddell@example.com",
        "alice.liddell",
        "Alice.Liddell1",
        "12white-rabbit",
        "WHITE-RABBIT!!!",
        "wonderland",
        "Wonderland99",
    ],
)
def test_the_users_own_words_are_refused(password: str) -> None:
    with pytest.raises(WeakPassword):
        refuse_own_words(password, *ALICE)


@pytest.mark.parametrize("password", ["correct horse battery", "wonderland is far away", "a rabbit that is white"])
def test_a_password_with_enough_of_its_own_is_fine(password: str) -> None:
    refuse_common(password)
    refuse_own_words(password, *ALICE)
