"""Passwords: PBKDF2-HMAC-SHA256 in Django's format, so that accounts can move in and out."""

from __future__ import annotations

import base64
import hmac
import secrets
import string
import unicodedata
from collections.abc import Iterable

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.pbkdf2 import PBKDF2HMAC
from zxcvbn.frequency_lists import FREQUENCY_LISTS

from backend.hash_pool import HashPool
from models.errors import WeakPassword
from models.forms import PASSWORD_LENGTH

_ALGORITHM = "pbkdf2_sha256"
_SALT_LETTERS = string.ascii_letters + string.digits
_SALT_LENGTH = 22
"""Letters; 131 bits, as Django does and more than the 128 of NIST SP 800-132 section 5.1."""

_OWN_LETTERS = 4
"""A password that is one of the user's own words and fewer than this many characters more is refused."""

_COMMON = frozenset(word for word in FREQUENCY_LISTS["passwords"] if len(word) >= PASSWORD_LENGTH[0])


def normalise(password: str) -> str:
    """NFKC, as NIST SP 800-63B section 3.1.1.2 asks, so that two keyboards type one password."""
    return unicodedata.normalize("NFKC", password)


def refuse_common(password: str) -> None:
    """Refuse what everybody tries first.

    Raises:
        WeakPassword: the password is on the list of common ones.
    """
    if normalise(password).casefold() in _COMMON:
        raise WeakPassword("This password is one of the most common. Choose one that nobody else would.")


def refuse_own_words(password: str, words: Iterable[str]) -> None:
    """Refuse what somebody who knows the user tries second (NIST SP 800-63B section 3.1.1.2, context-specific words).

    Raises:
        WeakPassword: the password is little more than one of the words.
    """
    folded = normalise(password).casefold()
    for word in words:
        own = word.casefold()
        if len(own) >= _OWN_LETTERS and own in folded and len(folded) - len(own) < _OWN_LETTERS:
            raise WeakPassword("This password is little more than your login, your address or our name.")


def own_words(email: str, login: str, service: str) -> tuple[str, ...]:
    """What a password must not be made of."""
    return (email, email.partition("@")[0], login, service)


def _digest(password: str, salt: str, iterations: int) -> bytes:
    kdf = PBKDF2HMAC(algorithm=SHA256(), length=32, salt=salt.encode(), iterations=iterations)
    return kdf.derive(normalise(password).encode())


def encode(password: str, iterations: int) -> str:
    """Hash with a fresh salt: ``pbkdf2_sha256$iterations$salt$hash``. Costly; for the hash pool."""
    salt = "".join(secrets.choice(_SALT_LETTERS) for _ in range(_SALT_LENGTH))
    return f"{_ALGORITHM}${iterations}${salt}${base64.b64encode(_digest(password, salt, iterations)).decode()}"


_UNUSABLE = "!"


def unusable_password() -> str:
    """What is stored, as Django does, where there is no password: its owner sets one by /recover."""
    return _UNUSABLE + secrets.token_urlsafe(30)


def is_unusable(encoded: str) -> bool:
    """Whether it says that there is no password."""
    return encoded.startswith(_UNUSABLE)


def matches(password: str, encoded: str) -> bool:
    """Whether the password has this hash. Costly; for the hash pool."""
    _, iterations, salt, digest = encoded.split("$")
    return hmac.compare_digest(_digest(password, salt, int(iterations)), base64.b64decode(digest))


def matches_at_cost(password: str, encoded: str, iterations: int) -> bool:
    """`matches`, at today's cost also where the hash was made at a lower one: its time must not tell an old account."""
    right = matches(password, encoded)
    missing = iterations - int(encoded.split("$")[1])
    if missing > 0:
        _digest(password, encoded.split("$")[2], missing)
    return right


class Passwords:
    """Hashes and verifies in the pool."""

    def __init__(self, pool: HashPool, iterations: int) -> None:
        self._pool = pool
        self._iterations = iterations
        # Nobody's password; a stranger is verified against it, and takes as long to refuse as a user.
        self._nobody = f"{_ALGORITHM}${iterations}${'0' * _SALT_LENGTH}${base64.b64encode(bytes(32)).decode()}"

    def refuse_when_busy(self) -> None:
        """Called before anything else is done for a hash, so that a refusal in a storm costs next to nothing.

        Raises:
            Unavailable: too many wait already.
        """
        self._pool.refuse_when_full()

    async def hash(self, password: str) -> str:
        """The text to store.

        Raises:
            Unavailable: too many wait already.
        """
        return await self._pool.run(encode, password, self._iterations)

    async def verify(self, password: str, encoded: str | None) -> bool:
        """Whether the password is right.

        Without an account, or without a password, a hash is computed all the same: a refusal that came 80 ms earlier
        would tell who has none.

        Raises:
            Unavailable: too many wait already.
        """
        if encoded is None or is_unusable(encoded):
            await self._pool.run(matches_at_cost, password, self._nobody, self._iterations)
            return False
        return await self._pool.run(matches_at_cost, password, encoded, self._iterations)

    def is_outdated(self, encoded: str) -> bool:
        """Whether the hash was made at a lower cost than today's."""
        return not is_unusable(encoded) and int(encoded.split("$")[1]) < self._iterations
