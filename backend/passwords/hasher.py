"""Hashes and verifies passwords: PBKDF2-HMAC-SHA256 in Django's format, so that accounts can move in and out.

A refusal takes the same time with and without an account: the time must not reveal which accounts exist.
"""

from __future__ import annotations

import base64
import hmac
import logging
import secrets
import string
from time import thread_time

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.pbkdf2 import PBKDF2HMAC

from backend.passwords.hash_pool import HashPool
from backend.passwords.imported_hashes import UnsupportedHash, password_verifier
from backend.passwords.policy import normalise

log = logging.getLogger(__name__)

_ALGORITHM = "pbkdf2_sha256"
_SALT_LETTERS = string.ascii_letters + string.digits
_SALT_LENGTH = 22
"""Letters; 131 bits, as Django does and more than the 128 of NIST SP 800-132 section 5.1."""

_NO_SALT = "0" * _SALT_LENGTH

_UNUSABLE = "!"


def _digest(text: str, salt: str, iterations: int) -> bytes:
    kdf = PBKDF2HMAC(algorithm=SHA256(), length=32, salt=salt.encode(), iterations=iterations)
    return kdf.derive(text.encode())


def hash_password(password: str, iterations: int) -> str:
    """Hash with a fresh salt: ``pbkdf2_sha256$iterations$salt$hash``. Costly: call it in the hash pool."""
    salt = "".join(secrets.choice(_SALT_LETTERS) for _ in range(_SALT_LENGTH))
    digest = _digest(normalise(password), salt, iterations)
    return f"{_ALGORITHM}${iterations}${salt}${base64.b64encode(digest).decode()}"


def unusable_password() -> str:
    """Return what is stored, as Django does, for an account without a password; its owner sets one by /recover."""
    return _UNUSABLE + secrets.token_urlsafe(30)


def is_unusable(encoded: str) -> bool:
    """Return whether the stored text says that the account has no password."""
    return encoded.startswith(_UNUSABLE)


def describe_hash(encoded: str) -> tuple[str, int | None]:
    """Return the algorithm and iterations of a hash for an export; never the hash."""
    algorithm, _, rest = encoded.partition("$")
    if algorithm == _ALGORITHM:
        return algorithm, int(rest.partition("$")[0])
    return "none" if is_unusable(encoded) else "of another system, until the next log-in", None


def _spellings(password: str) -> tuple[str, ...]:
    """Return what may have been hashed: we hash NFKC, Django hashes what was typed; for ASCII the two are one."""
    normal = normalise(password)
    return (normal,) if normal == password else (normal, password)


def verify_password(password: str, encoded: str, iterations: int = 0) -> bool:
    """Return whether the password has this hash, made by us or by Django in the same format.

    A hash made with fewer than ``iterations`` costs as much as one of today: the time of a refusal must not reveal an
    old account. Costly: call it in the hash pool.
    """
    _, made_with, salt, digest = encoded.split("$")
    expected, missing = base64.b64decode(digest), iterations - int(made_with)
    for spelling in _spellings(password):
        if hmac.compare_digest(_digest(spelling, salt, int(made_with)), expected):
            return True
        if missing > 0:
            _digest(spelling, salt, missing)
    return False


def _verify_imported(password: str, encoded: str, iterations: int) -> bool:
    """Return whether the password has this hash of another system; spend the rest of our own cost when it has not.

    This cannot hide a hash that costs more than ours, nor the lanes of Argon2, which are threads of their own: until
    its owner logs in, such an account takes longer to refuse than an unknown one.
    """
    began = thread_time()
    try:
        right = password_verifier(encoded)(password)
    except UnsupportedHash as error:
        log.warning("no user can log in with a stored password hash: it %s", error)
        right = False
    except (ValueError, MemoryError, OverflowError) as error:
        # The library has stricter bounds than ours: no password has this hash, and the log-in must not fail.
        log.warning("no user can log in with a stored password hash: its library says %s", type(error).__name__)
        right = False
    if not right:
        _spend(iterations * len(_spellings(password)), thread_time() - began)
    return right


def _spend(iterations: int, already: float) -> None:
    """Take as long as the iterations do, less the seconds that this thread has already spent."""
    # The time of one iteration is measured now, on a tenth of them: the machine is as fast as its neighbours let it.
    tenth, began = max(1, iterations // 10), thread_time()
    _digest("", _NO_SALT, tenth)
    rest = iterations - tenth - round(already * tenth / max(thread_time() - began, 1e-9))
    if rest > 0:
        _digest("", _NO_SALT, rest)


class PasswordHasher:
    """Hashes and verifies passwords in the hash pool; raises `Unavailable` when too many hashes wait."""

    def __init__(self, pool: HashPool, iterations: int) -> None:
        self._pool = pool
        self._iterations = iterations
        # The hash of no password: an unknown account takes as long to refuse as a known one.
        self._dummy = f"{_ALGORITHM}${iterations}${_NO_SALT}${base64.b64encode(bytes(32)).decode()}"

    def refuse_when_busy(self) -> None:
        """Refuse before any other work for a request that needs a hash, so that a storm of refusals costs little."""
        self._pool.refuse_when_full()

    async def hash(self, password: str) -> str:
        """Return the text to store."""
        return await self._pool.compute(hash_password, password, self._iterations)

    async def verify(self, password: str, encoded: str | None) -> bool:
        """Return whether the password is right.

        Without an account, or without a password, a hash is computed all the same: a refusal that came 80 ms earlier
        would reveal which accounts are missing.
        """
        if encoded is None or is_unusable(encoded):
            await self._pool.compute(verify_password, password, self._dummy, self._iterations)
            return False
        verify = verify_password if encoded.startswith(f"{_ALGORITHM}$") else _verify_imported
        return await self._pool.compute(verify, password, encoded, self._iterations)

    def is_outdated(self, encoded: str) -> bool:
        """Return whether the hash was made by another system, or at another cost than today's.

        A higher cost, such as Django's, counts too: a refusal that takes longer reveals that the account exists.
        """
        return not is_unusable(encoded) and encoded.split("$")[:2] != [_ALGORITHM, str(self._iterations)]
