"""E-mail addresses have one canonical form."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.values.email import canonical_email

SPELLINGS = {
    "Alice@Example.COM": "alice@example.com",
    "alice@ｅｘａｍｐｌｅ.com": "alice@example.com",
    "alice@example。com": "alice@example.com",
    "alice@münchen.de": "alice@xn--mnchen-3ya.de",
    "alice@MÜNCHEN.de": "alice@xn--mnchen-3ya.de",
    "alice@mu\u0308nchen.de": "alice@xn--mnchen-3ya.de",
    "alice@xn--mnchen-3ya.de": "alice@xn--mnchen-3ya.de",
    "alice+tag@example.com": "alice+tag@example.com",
}


@pytest.mark.parametrize(("typed", "canonical"), SPELLINGS.items())
def test_spellings_of_one_mailbox_have_one_form(typed: str, canonical: str) -> None:
    assert canonical_email(typed) == canonical


@pytest.mark.parametrize(
    "typed",
    [
        "",
        "bob",
        "@example.org",
        "bob@",
        "bob@localhost",
        "bob@[127.0.0.1]",
        "ａlice@example.com",
        "al\u0131ce@example.com",
        "\u212aate@example.com",
        "u＠evil.com",
        "a@b.com,c@d.com",
        "a@b@c.com",
        "N <a@b.com>",
        '"a b"@example.com',
        "a@b.com\r\nBcc: x@y.com",
        "a@b.com%0d%0a",
        "a@b.com\u2028",
        "a b@example.com",
        f"{'a' * 65}@example.com",
        f"a@{'b' * 250}.com",
    ],
)
def test_anything_but_one_plain_address_is_refused_without_being_repeated(typed: str) -> None:
    with pytest.raises(ValueError, match="must be one e-mail address") as refusal:
        canonical_email(typed)
    assert not typed or typed not in str(refusal.value)


@given(st.text(max_size=80))
def test_whatever_is_typed_is_refused_or_has_a_form_that_stays(typed: str) -> None:
    try:
        canonical = canonical_email(typed)
    except ValueError:
        return
    assert canonical.isascii()
    assert canonical == canonical.lower()
    assert canonical.count("@") == 1
    assert canonical_email(canonical) == canonical
