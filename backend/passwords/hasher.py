"""Passwords: PBKDF2-HMAC-SHA256 in Django's format, so that accounts can move in and out."""

from __future__ import annotations

import base64
import hmac
import logging
import secrets
import string
import unicodedata
from collections.abc import Iterable
from time import thread_time

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.pbkdf2 import PBKDF2HMAC
from zxcvbn.frequency_lists import FREQUENCY_LISTS

from backend.passwords import imported_hashes
from backend.passwords.hash_pool import HashPool
from models.errors import WeakPassword
from models.requests.flows import PASSWORD_LENGTH

log = logging.getLogger(__name__)

_ALGORITHM = "pbkdf2_sha256"
_SALT_LETTERS = string.ascii_letters + string.digits
_SALT_LENGTH = 22
"""Letters; 131 bits, as Django does and more than the 128 of NIST SP 800-132 section 5.1."""

_NO_SALT = "0" * _SALT_LENGTH

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


def _digest(text: str, salt: str, iterations: int) -> bytes:
    kdf = PBKDF2HMAC(algorithm=SHA256(), length=32, salt=salt.encode(), iterations=iterations)
    return kdf.derive(text.encode())


def encode(password: str, iterations: int) -> str:
    """Hash with a fresh salt: ``pbkdf2_sha256$iterations$salt$hash``. Costly; for the hash pool."""
    salt = "".join(secrets.choice(_SALT_LETTERS) for _ in range(_SALT_LENGTH))
    digest = _digest(normalise(password), salt, iterations)
    return f"{_ALGORITHM}${iterations}${salt}${base64.b64encode(digest).decode()}"


_UNUSABLE = "!"


def unusable_password() -> str:
    """What is stored, as Django does, where there is no password: its owner sets one by /recover."""
    return _UNUSABLE + secrets.token_urlsafe(30)


def is_unusable(encoded: str) -> bool:
    """Whether it says that there is no password."""
    return encoded.startswith(_UNUSABLE)


def described(encoded: str) -> tuple[str, int | None]:
    """Algorithm and iterations of a hash, as far as they are ours to tell; never the hash."""
    algorithm, _, rest = encoded.partition("$")
    if algorithm == _ALGORITHM:
        return algorithm, int(rest.partition("$")[0])
    return "none" if is_unusable(encoded) else "of another system, until the next log-in", None


def _spellings(password: str) -> tuple[str, ...]:
    """What may have been hashed: we hash NFKC, Django what was typed; of ASCII the two are one."""
    normal = normalise(password)
    return (normal,) if normal == password else (normal, password)


def matches(password: str, encoded: str) -> bool:
    """Whether the password has this hash of ours, or of Django's in the same format. Costly; for the hash pool."""
    return matches_at_cost(password, encoded, 0)


def matches_at_cost(password: str, encoded: str, iterations: int) -> bool:
    """`matches`, at today's cost also where the hash was made at a lower one: its time must not tell an old account."""
    _, made_at, salt, digest = encoded.split("$")
    expected, missing = base64.b64decode(digest), iterations - int(made_at)
    for spelling in _spellings(password):
        if hmac.compare_digest(_digest(spelling, salt, int(made_at)), expected):
            return True
        if missing > 0:
            _digest(spelling, salt, missing)
    return False


def _foreign_matches_at_cost(password: str, encoded: str, iterations: int) -> bool:
    """The same for a hash that another system made: what it took is measured, and the rest of our own cost is spent.

    This cannot hide a hash that costs more than ours, nor the lanes of Argon2, which are threads of their own: until
    its owner logs in, an account of that kind takes longer to refuse than a stranger.
    """
    began = thread_time()
    try:
        right = imported_hashes.read(encoded)(password)
    except imported_hashes.HashRefused as refusal:
        log.warning("nobody can log in with a stored password hash: it %s", refusal)
        right = False
    except (ValueError, MemoryError, OverflowError) as error:
        # A library that knows better than our bounds: the hash is nobody's, and no reason to fail.
        log.warning("nobody can log in with a stored password hash: its library says %s", type(error).__name__)
        right = False
    if not right:
        _spend(iterations * len(_spellings(password)), thread_time() - began)
    return right


def _spend(iterations: int, already: float) -> None:
    """Take as long as the iterations do, less the seconds of this thread that were spent already."""
    # How long one takes is measured now, on a tenth of them: the machine is as fast as its neighbours let it.
    tenth, began = max(1, iterations // 10), thread_time()
    _digest("", _NO_SALT, tenth)
    rest = iterations - tenth - round(already * tenth / max(thread_time() - began, 1e-9))
    if rest > 0:
        _digest("", _NO_SALT, rest)


class Passwords:
    """Hashes and verifies in the pool."""

    def __init__(self, pool: HashPool, iterations: int) -> None:
        self._pool = pool
        self._iterations = iterations
        # Nobody's password; a stranger is verified against it, and takes as long to refuse as a user.
        self._nobody = f"{_ALGORITHM}${iterations}${_NO_SALT}${base64.b64encode(bytes(32)).decode()}"

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
        check = matches_at_cost if encoded.startswith(f"{_ALGORITHM}$") else _foreign_matches_at_cost
        return await self._pool.run(check, password, encoded, self._iterations)

    def is_outdated(self, encoded: str) -> bool:
        """Whether the hash was made by another system, or at another cost than today's.

        Also at a higher one, such as Django's: what takes longer to refuse than a stranger tells that it is there.
        """
        return not is_unusable(encoded) and encoded.split("$")[:2] != [_ALGORITHM, str(self._iterations)]
