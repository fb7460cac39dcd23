"""The language of a mail follows what the caller's browser asks for."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.values.locale import Locale, preferred_locale


@pytest.mark.parametrize(
    ("header", "locale"),
    [
        (None, "en"),
        ("", "en"),
        ("ru", "ru"),
        ("ru-RU,ru;q=0.9,en;q=0.8", "ru"),
        ("en;q=0.3, ru;q=0.4", "ru"),
        ("xx, ru;q=0.1", "ru"),
        ("RU", "ru"),
        ("ru;q=0", "en"),
        ("ru;q=nan", "en"),
        ("ru;q=1e309", "en"),
        ("xx-XX,*;q=0.5", "en"),
        (";;;,,,=", "en"),
    ],
)
def test_the_best_language_that_we_write_is_chosen(header: str | None, locale: str) -> None:
    assert preferred_locale(header) == Locale(locale)


@given(st.text())
def test_no_header_is_too_odd(header: str) -> None:
    assert preferred_locale(header) in Locale
