"""Which passwords are refused: common ones, and those made of the user's own words."""

from __future__ import annotations

import unicodedata

from zxcvbn.frequency_lists import FREQUENCY_LISTS

from models.errors import WeakPassword
from models.requests.flows import PASSWORD_LENGTH

_OWN_LETTERS = 4
"""A password that is one of the user's own words and fewer than this many characters more is refused."""

_COMMON = frozenset(word for word in FREQUENCY_LISTS["passwords"] if len(word) >= PASSWORD_LENGTH[0])


def normalise(password: str) -> str:
    """Return the NFKC form, as NIST SP 800-63B section 3.1.1.2 asks, so that keyboards do not matter."""
    return unicodedata.normalize("NFKC", password)


def refuse_common(password: str) -> None:
    """Refuse the passwords that attackers try first.

    Raises:
        WeakPassword: the password is on the list of common ones.
    """
    if normalise(password).casefold() in _COMMON:
        raise WeakPassword("This password is one of the most common. Choose one that nobody else would.")


def refuse_own_words(password: str, email: str, login: str, service: str) -> None:
    """Refuse passwords that an attacker who knows the user would try (NIST SP 800-63B 3.1.1.2, context-specific words).

    Raises:
        WeakPassword: the password is little more than one of these words.
    """
    folded = normalise(password).casefold()
    for word in (email, email.partition("@")[0], login, service):
        own = word.casefold()
        if len(own) >= _OWN_LETTERS and own in folded and len(folded) - len(own) < _OWN_LETTERS:
            raise WeakPassword("This password is little more than your login, your address or our name.")
