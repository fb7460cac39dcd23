"""Refresh tokens: what is ours, what follows what, and what a change of the secret does."""

from __future__ import annotations

import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.derived_keys import Keys
from backend.tokens.refresh_tokens import RefreshTokens

OLD, NEW = "an old secret of many letters 0123", "a new secret of many letters 45678"
TOKENS = RefreshTokens(Keys([OLD]))
SESSION = uuid.uuid4()


def test_a_token_names_its_session_and_is_read_as_it_was_written() -> None:
    token = TOKENS.create(SESSION)
    assert token.session_id == SESSION
    assert TOKENS.parse(str(token)) == token
    assert len(str(token)) == 86


def test_a_token_always_has_the_same_successor_and_every_heir_is_ours() -> None:
    token, seen = TOKENS.create(SESSION), set()
    for _ in range(20):
        [successor] = TOKENS.successors(token)
        assert [successor] == list(TOKENS.successors(token))
        assert TOKENS.parse(str(successor)) == successor
        assert successor.session_id == SESSION
        seen.add(str(token))
        token = successor
    assert len(seen) == 20


def test_two_sessions_never_share_a_token() -> None:
    assert TOKENS.create(SESSION) != TOKENS.create(SESSION)


@given(place=st.integers(0, 85), letter=st.characters(codec="ascii"))
def test_a_token_with_another_letter_anywhere_is_not_ours(place: int, letter: str) -> None:
    text = str(TOKENS.create(SESSION))
    changed = text[:place] + letter + text[place + 1 :]
    assert changed == text or TOKENS.parse(changed) is None


@given(st.text(max_size=120))
def test_no_text_is_too_odd(text: str) -> None:
    assert TOKENS.parse(text) is None


@pytest.mark.parametrize("tail", ["=", "==", "A", ".", "\n", " "])
def test_a_token_has_one_spelling_only(tail: str) -> None:
    assert TOKENS.parse(f"{TOKENS.create(SESSION)}{tail}") is None


def test_the_unused_bits_of_the_last_letter_make_no_second_spelling() -> None:
    text = str(TOKENS.create(SESSION))
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    assert [letter for letter in alphabet if TOKENS.parse(text[:-1] + letter)] == [text[-1]]


def test_a_new_secret_in_front_of_the_old_one_loses_no_token_and_no_repeat() -> None:
    both = RefreshTokens(Keys([NEW, OLD]))
    token = TOKENS.create(SESSION)
    [given_before] = TOKENS.successors(token)
    assert both.parse(str(token)) == token
    by_new, by_old = both.successors(token)
    assert by_old == given_before
    assert RefreshTokens(Keys([NEW])).parse(str(by_new)) == by_new
    assert RefreshTokens(Keys([NEW])).parse(str(by_old)) is None
