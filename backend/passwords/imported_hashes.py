"""Verifies hashes that Django, Werkzeug and passlib made, so that imported users log in with the password they have.

The cost of each form is bounded: one line of an import must not block a thread, or take the memory, of a log-in.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import logging
import re
from collections.abc import Callable
from functools import lru_cache
from importlib import import_module
from importlib.util import find_spec
from typing import Any

log = logging.getLogger(__name__)

# Of requirements-import.txt, which need not be installed.
argon2: Any = import_module("argon2") if find_spec("argon2") else None
bcrypt: Any = import_module("bcrypt") if find_spec("bcrypt") else None

PasswordVerifier = Callable[[str], bool]
"""Returns whether a password, as it was typed, has the hash. Costly: call it in the hash pool."""

MAX_ITERATIONS = 3_000_000
"""Of PBKDF2: two and a half seconds with the slowest digest. Django's default grows by a fifth with each release, and
was 1,200,000 in 2025."""

_MAX_SCRYPT_BYTES = 2**27
_MAX_SCRYPT_WORK = 2**21
"""N r p; OWASP's settings come to half of it, at 128 MiB."""

_SCRYPT_BYTES = 64
"""The length that Django and Werkzeug use."""

_BCRYPT_COST = range(4, 15)
"""2^14 rounds take two seconds."""

_BCRYPT_BYTES = 72
"""bcrypt hashes no more of a password; its library refuses a longer one, which older versions cut off."""

_MAX_ARGON2_KIB = 256 * 1024
_MAX_ARGON2_WORK = 1024 * 1024
"""KiB times passes; Django's settings come to a fifth of it."""

_MAX_ARGON2_LANES = 16


class UnsupportedHash(ValueError):
    """No user could log in with this hash; the text says why, and repeats no part of the hash."""


def password_verifier(encoded: str) -> PasswordVerifier:
    """Return the function that verifies a password with this hash; nothing is computed yet.

    Raises:
        UnsupportedHash: the hash has no known form, costs too much, or needs a library that is not installed.
    """
    for form, reader in _FORMS:
        if found := form.fullmatch(encoded):
            return reader(found)
    raise UnsupportedHash("is of no form that docs/moving-in.md names")


_NOT_INSTALLED = "needs what requirements-import.txt installs"


def _refuse_unless(sound: object, why: str) -> None:
    if not sound:
        raise UnsupportedHash(why)


def _base64(text: str) -> bytes:
    """Decode base64, also passlib's variant, which has a dot for the plus and no padding."""
    bare = text.rstrip("=").replace(".", "+")
    try:
        raw = base64.b64decode(bare + "=" * (-len(bare) % 4), validate=True)
    except ValueError:
        raw = b""
    # No library writes a text with unused bits set, which decodes to the same bytes; Argon2's refuses it.
    _refuse_unless(base64.b64encode(raw).decode().rstrip("=") == bare, "is cut off")
    return raw


@lru_cache(64)
def _length(digest: str) -> int:
    """Return the bytes of a digest that PBKDF2 can use here; 0 for any other."""
    try:
        return len(hashlib.pbkdf2_hmac(digest, b"", b"", 1))
    except ValueError:
        return 0


def _pbkdf2(digest: str, iterations: str, salt: bytes, expected: bytes) -> PasswordVerifier:
    rounds = int(iterations)
    _refuse_unless(1 <= rounds <= MAX_ITERATIONS, f"has no iterations, or more than {MAX_ITERATIONS:,}")
    _refuse_unless(_length(digest) > 0, "is made of a digest that is not known here")
    _refuse_unless(_length(digest) == len(expected), "is cut off, or has another length than its digest")
    return lambda password: hmac.compare_digest(hashlib.pbkdf2_hmac(digest, password.encode(), salt, rounds), expected)


def _scrypt(found: re.Match[str], expected: bytes) -> PasswordVerifier:
    n, r, p = (int(found[name]) for name in ("n", "r", "p"))
    salt = found["salt"].encode()
    # RFC 7914 section 6: N is a power of two below 2^(16 r).
    sound = n > 1 and n & (n - 1) == 0 and r > 0 and p > 0 and n.bit_length() <= 16 * r
    _refuse_unless(sound, "has parameters that scrypt does not take")
    # OpenSSL counts the memory like this, and refuses more than `maxmem`.
    needed = 128 * r * p + 128 * r * (n + 2)
    _refuse_unless(
        needed <= _MAX_SCRYPT_BYTES + 2**20 and n * r * p <= _MAX_SCRYPT_WORK, "costs too much to be checked"
    )
    _refuse_unless(len(expected) == _SCRYPT_BYTES, "is cut off, or has another length than scrypt's 64 bytes")

    def check(password: str) -> bool:
        made = hashlib.scrypt(
            password.encode(), salt=salt, n=n, r=r, p=p, maxmem=2 * _MAX_SCRYPT_BYTES, dklen=_SCRYPT_BYTES
        )
        return hmac.compare_digest(made, expected)

    return check


def _bcrypt(found: re.Match[str]) -> PasswordVerifier:
    _refuse_unless(bcrypt, _NOT_INSTALLED)
    _refuse_unless(int(found["cost"]) in _BCRYPT_COST, f"must have a cost of 4 to {_BCRYPT_COST[-1]}")
    stored = found["hash"].encode()

    def check(password: str) -> bool:
        return bool(bcrypt.checkpw(password.encode()[:_BCRYPT_BYTES], stored))

    return check


def _bcrypt_sha256(found: re.Match[str]) -> PasswordVerifier:
    """Verify SHA-256 in hexadecimal: Django's way around the 72 bytes."""
    check = _bcrypt(found)
    return lambda password: check(hashlib.sha256(password.encode()).hexdigest())


def _argon2(found: re.Match[str]) -> PasswordVerifier:
    _refuse_unless(argon2, _NOT_INSTALLED)
    memory, passes, lanes = (int(found[name]) for name in ("m", "t", "p"))
    sound = 1 <= lanes <= _MAX_ARGON2_LANES and passes >= 1 and memory >= 8 * lanes
    _refuse_unless(sound, "has parameters that Argon2 does not take, or more than 16 lanes")
    _refuse_unless(memory <= _MAX_ARGON2_KIB and memory * passes <= _MAX_ARGON2_WORK, "costs too much to be checked")
    lengths = len(_base64(found["salt"])) in range(8, 65) and len(_base64(found["digest"])) in range(16, 65)
    _refuse_unless(lengths, "is cut off, or too long")
    stored, kind = found["hash"].encode(), getattr(argon2.Type, found["kind"].upper())

    def check(password: str) -> bool:
        try:
            return bool(argon2.low_level.verify_secret(stored, password.encode(), kind))
        except argon2.exceptions.VerifyMismatchError:
            return False
        except argon2.exceptions.VerificationError as error:
            log.warning("a stored password hash of Argon2 could not be checked: %s", error)
            return False

    return check


_COUNT = r"(?:0|[1-9][0-9]{0,8})"
_B64 = r"[A-Za-z0-9+/]+"
_PADDED = r"(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?"
_AB64 = r"[A-Za-z0-9./]"
# The last letter of a salt has two bits, and that of a digest four; others are of no bcrypt.
_BCRYPT = rf"(?P<hash>\$2[aby]\$(?P<cost>[0-9]{{2}})\${_AB64}{{21}}[.Oeu]{_AB64}{{30}}[.CGKOSWaeimquy26])"

_FORMS: tuple[tuple[re.Pattern[str], Callable[[re.Match[str]], PasswordVerifier]], ...] = (
    (  # Django; with sha256 it is also what we store ourselves
        re.compile(rf"pbkdf2_(sha1|sha256)\$({_COUNT})\$([^$]{{1,128}})\$({_PADDED})"),
        lambda found: _pbkdf2(found[1], found[2], found[3].encode(), _base64(found[4])),
    ),
    (  # Django
        re.compile(rf"scrypt\$(?P<n>{_COUNT})\$(?P<salt>[^$]{{1,128}})\$(?P<r>{_COUNT})\$(?P<p>{_COUNT})\$({_PADDED})"),
        lambda found: _scrypt(found, _base64(found[5])),
    ),
    (  # Werkzeug
        re.compile(rf"pbkdf2:([a-z0-9_-]{{1,20}}):({_COUNT})\$([^$]{{1,128}})\$((?:[0-9a-f]{{2}})+)"),
        lambda found: _pbkdf2(found[1], found[2], found[3].encode(), bytes.fromhex(found[4])),
    ),
    (  # Werkzeug
        re.compile(
            rf"scrypt:(?P<n>{_COUNT}):(?P<r>{_COUNT}):(?P<p>{_COUNT})\$(?P<salt>[^$]{{1,128}})\$((?:[0-9a-f]{{2}})+)"
        ),
        lambda found: _scrypt(found, bytes.fromhex(found[5])),
    ),
    (  # passlib; SHA-1 when none is named
        re.compile(rf"\$pbkdf2(?:-(sha256|sha512))?\$({_COUNT})\$({_AB64}{{0,200}})\$({_AB64}+)"),
        lambda found: _pbkdf2(found[1] or "sha1", found[2], _base64(found[3]), _base64(found[4])),
    ),
    (re.compile(rf"(?:bcrypt\$)?{_BCRYPT}"), _bcrypt),  # Django, and all others
    (re.compile(rf"bcrypt_sha256\${_BCRYPT}"), _bcrypt_sha256),  # Django
    (  # Django, and all others
        re.compile(
            r"(?:argon2)?(?P<hash>\$argon2(?P<kind>id|i|d)\$(?:v=(?:16|19)\$)?"
            rf"m=(?P<m>{_COUNT}),t=(?P<t>{_COUNT}),p=(?P<p>{_COUNT})\$(?P<salt>{_B64})\$(?P<digest>{_B64}))"
        ),
        _argon2,
    ),
)
