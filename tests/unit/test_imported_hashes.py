"""Hashes of Django, Werkzeug and passlib: each form logs in, and what no log-in could bear is refused."""

from __future__ import annotations

import base64
import hashlib
import logging
import re
import subprocess
import sys
import time

import bcrypt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from werkzeug.security import generate_password_hash

from backend.passwords import imported_hashes
from backend.passwords.hash_pool import HashPool
from backend.passwords.hasher import PasswordHasher, hash_password, unusable_password, verify_password
from backend.passwords.imported_hashes import UnsupportedHash, password_verifier
from tests.support.service.process import ROOT
from tests.support.values.imported_hashes import PASSWORD, ab64, each_form
from tests.support.values.null_counters import null_counters

FORMS = each_form(PASSWORD)


@pytest.fixture
def passwords() -> PasswordHasher:
    return PasswordHasher(HashPool(1, 10, 0.001, null_counters()), 1000)


@pytest.mark.parametrize("form", FORMS)
async def test_a_hash_made_elsewhere_lets_its_owner_in_and_nobody_else(form: str, passwords: PasswordHasher) -> None:
    assert await passwords.verify(PASSWORD, FORMS[form])
    assert not await passwords.verify(PASSWORD + "!", FORMS[form])
    assert not await passwords.verify("", FORMS[form])
    assert passwords.is_outdated(FORMS[form])


# Made by Django 5.2, Werkzeug 3.1 and passlib 1.7 as they come, of one password.
MADE_THERE = [
    "pbkdf2_sha256$1000000$Z6OMfQtpOZuspKqAskLI93$om+EKTsAkgCdditM/0kVYSs4UqY4YEHPkXPhiXv4KKc=",
    "pbkdf2_sha1$1000000$rdbVNKwaYaJbpb492ra8x1$X4nuSOBMgSfRe4Z+/Fl72qBG2NM=",
    "argon2$argon2id$v=19$m=102400,t=2,p=8$WlAyRXBJaVp2dEY4VlA5S1ZiTVBEVQ$KbYQlVNX+r+M5Y3vSrbIWYjhjHnepC0v4zMmxnhjXQQ",
    "bcrypt_sha256$$2b$12$TNn3c0.zLpZJq6Vf2ZNf..2uToRrnbkbLCh9vgSyW.wmO1MAwzPs2",
    "bcrypt$$2b$12$Vw0/c2b9FZG.84Srv3VGa.Qrp5XOv7ah7OBHn9v.2zb7Ib/g9N14m",
    (
        "scrypt$16384$41gYMf5QNCOOPhP6GM49qh$8$5$NyHWLrEv1BlaMRvHJbQkGWH8XwoocyR0PQnfuCWeTVY4NBNDTj"
        "ZSDVXyVHow7q4DxadpIyX4Tc/ru/JZzEWEOQ=="
    ),
    (
        "scrypt:32768:8:1$Pfdftr59q5XsGd2L$329bd1b306b589c014928a9d4b7ca293413e149b2586effbfee0eac9"
        "ef5e3af571b27bd0010d489f1df1f676083007f98f81b90a4be9fcc0f87bc9e7b5a7674d"
    ),
    "pbkdf2:sha256:1000000$Usgl7pYJf5Ag01xf$ee27a1f6eac26873880dbcc5d092e927ec3267516ee24aa1e47fd25758b8e315",
    "$pbkdf2$1000$6n0PwZjznhPi/P/fu9c6hw$.rdMxBygnE/.aqQydY56J1SL/qY",
    "$pbkdf2-sha256$1000$BICQknKOca6V8t47JwSglA$1aYpViyQQdFgWxPJPrt1s4S4xeZdQyjG4APUFrsBPec",
    (
        "$pbkdf2-sha512$1000$WyvF2BsDIISQ0przHmPs3Q$C8K/8sK.1f0TrfLIW/C.F5StTDAg.3XpNymzJsUbPrY5OKr"
        "Wm3KCM4qvUr1xtooVqlkPm8msQlLFGLu54REcKg"
    ),
]


@pytest.mark.parametrize("encoded", MADE_THERE, ids=lambda encoded: encoded[:16])
def test_what_the_systems_themselves_have_stored_is_understood(encoded: str) -> None:
    assert password_verifier(encoded)("correct horse battery")


@pytest.mark.parametrize("digest", ["sha1", "sha224", "sha256", "sha384", "sha512", "md5", "sha3_256", "blake2b"])
def test_werkzeug_may_have_used_any_digest(digest: str) -> None:
    assert password_verifier(generate_password_hash(PASSWORD, f"pbkdf2:{digest}:1000"))(PASSWORD)


async def test_what_django_hashed_as_it_was_typed_is_found_and_so_is_our_own_form(passwords: PasswordHasher) -> None:
    typed, composed = "scho\u0308ner Tag", "sch\u00f6ner Tag"
    raw = base64.b64encode(hashlib.pbkdf2_hmac("sha256", typed.encode(), b"saltsalt", 900)).decode()
    django = f"pbkdf2_sha256$900$saltsalt${raw}"
    assert await passwords.verify(typed, django)
    assert not await passwords.verify(composed, django)
    assert await passwords.verify(typed, hash_password(composed, 1000))
    assert await passwords.verify(typed, generate_password_hash(typed, "scrypt:1024:8:1"))


async def test_bcrypt_sees_72_bytes_as_it_did_elsewhere_and_django_s_sees_all(passwords: PasswordHasher) -> None:
    long = "é" * 40
    assert await passwords.verify(long, bcrypt.hashpw(long.encode()[:72], bcrypt.gensalt(4)).decode())
    django = (
        "bcrypt_sha256$" + bcrypt.hashpw(hashlib.sha256(long.encode()).hexdigest().encode(), bcrypt.gensalt(4)).decode()
    )
    assert await passwords.verify(long, django)
    assert not await passwords.verify(long + "x", django)


async def test_no_password_is_nobody_s_password(passwords: PasswordHasher) -> None:
    unusable = unusable_password()
    assert unusable.startswith("!")
    for password in ("", "!", unusable, unusable[1:], PASSWORD):
        assert not await passwords.verify(password, unusable)
    assert not passwords.is_outdated(unusable)
    assert unusable_password() != unusable


@pytest.mark.parametrize("iterations", [999, 1001])
def test_a_hash_at_another_cost_is_outdated_and_one_at_todays_is_not(
    iterations: int, passwords: PasswordHasher
) -> None:
    assert passwords.is_outdated(hash_password("x", iterations))
    assert not passwords.is_outdated(hash_password("x", 1000))


DIGEST = base64.b64encode(bytes(32)).decode()
TOO_MUCH = {
    "pbkdf2 of Django": f"pbkdf2_sha256$10000001$salt${DIGEST}",
    "pbkdf2 of Werkzeug": f"pbkdf2:sha256:999999999$salt${'00' * 32}",
    "pbkdf2 of passlib": f"$pbkdf2-sha256$999999999$c2FsdA${ab64(bytes(32))}",
    "scrypt memory": f"scrypt:1048576:8:1$salt${'00' * 64}",
    "scrypt time": f"scrypt:32768:8:100$salt${'00' * 64}",
    # Few rounds, and a block for each of many lanes: OpenSSL counts them all.
    "scrypt blocks": f"scrypt$2$salt$524288$1${base64.b64encode(bytes(64)).decode()}",
    "scrypt of Django": f"scrypt$1048576$salt$8$1${base64.b64encode(bytes(64)).decode()}",
    "bcrypt": "$2b$31$" + "a" * 21 + "u" + "a" * 31,
    "argon2 memory": f"$argon2id$v=19$m=4194304,t=1,p=1$c2FsdHNhbHQ${ab64(bytes(32))}",
    "argon2 time": f"$argon2id$v=19$m=65536,t=999,p=1$c2FsdHNhbHQ${ab64(bytes(32))}",
    "argon2 lanes": f"$argon2id$v=19$m=65536,t=1,p=64$c2FsdHNhbHQ${ab64(bytes(32))}",
}
NONSENSE = [
    "",
    "x",
    "correct horse battery",
    "pbkdf2_sha256$0$salt$" + DIGEST,
    "pbkdf2_sha256$1000$salt$" + DIGEST[:-4],
    "pbkdf2_sha256$1000$salt$" + DIGEST[:-3],
    "pbkdf2_sha256$1000$salt$" + DIGEST.rstrip("="),
    "pbkdf2_sha256$1000$salt$" + DIGEST + "=",
    "pbkdf2_sha256$1000$salt$extra$" + DIGEST,
    "pbkdf2_sha256$1000$" + "s" * 200 + "$" + DIGEST,
    "pbkdf2_sha256$-1$salt$" + DIGEST,
    "pbkdf2_sha256$١٠٠٠$salt$" + DIGEST,
    "pbkdf2:shake_128:1000$salt$" + "00" * 32,
    "pbkdf2:nothing:1000$salt$" + "00" * 32,
    "pbkdf2:sha256:1000$salt$00",
    "scrypt:1000:8:1$salt$" + "00" * 64,
    "scrypt:1024:0:1$salt$" + "00" * 64,
    "scrypt:65536:1:1$salt$" + "00" * 64,
    "scrypt:1024:8:1$salt$00",
    "$2b$03$" + "a" * 21 + "u" + "a" * 31,
    "$2b$10$" + "a" * 21 + "u" + "a" * 30,
    "$2b$10$" + "a" * 53,
    "$argon2id$v=19$m=064,t=1,p=1$c2FsdHNhbHQ$" + ab64(bytes(32)),
    "$argon2id$v=19$m=64,t=1,p=1$c2FsdHNhbHR$" + ab64(bytes(32)),
    "$argon2id$v=19$m=8,t=1,p=2$c2FsdHNhbHQ$" + ab64(bytes(32)),
    "$argon2id$v=19$m=64,t=0,p=1$c2FsdHNhbHQ$" + ab64(bytes(32)),
    "$argon2id$v=19$m=64,t=1,p=1$c2E$" + ab64(bytes(32)),
    "$argon2id$v=19$m=64,t=1,p=1$c2FsdHNhbHQ$" + ab64(bytes(4)),
    "md5$salt$d41d8cd98f00b204e9800998ecf8427e",
    "$1$salt$hash",
]


@pytest.mark.parametrize("encoded", [*TOO_MUCH.values(), *NONSENSE])
async def test_what_nobody_could_log_in_with_is_refused_and_never_fails_a_log_in(
    encoded: str, passwords: PasswordHasher, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(UnsupportedHash) as refusal:
        password_verifier(encoded)
    assert DIGEST not in str(refusal.value)
    if not encoded.startswith("pbkdf2_sha256$"):  # a row like this comes from an import, which has refused it
        began = time.process_time()
        assert not await passwords.verify(PASSWORD, encoded)
        assert time.process_time() - began < 1
        assert "no user can log in" in caplog.text


@given(st.one_of(st.text(), *(st.from_regex(form, fullmatch=True) for form, _ in imported_hashes._FORMS)))
@settings(max_examples=200, deadline=None)
def test_any_text_is_refused_or_can_be_checked(encoded: str) -> None:
    cheap = re.sub(r"\$2(.)\$\d\d\$", r"$2\1$04$", encoded)
    try:
        check = password_verifier(cheap)
    except UnsupportedHash:
        return
    assert not check(PASSWORD)
    if cheap.startswith("pbkdf2_sha256$"):
        assert not verify_password(PASSWORD, cheap), "what we read as our own must be read in the same way"


@given(st.sampled_from(sorted(FORMS)), st.text(max_size=200))
@settings(max_examples=100, deadline=None)
def test_any_password_may_be_tried(form: str, password: str) -> None:
    password = password.encode(errors="ignore").decode()
    assert password_verifier(FORMS[form])(password) == (password == PASSWORD)


WITHOUT = """
import sys
sys.modules["bcrypt"] = sys.modules["argon2"] = None
from backend.passwords.imported_hashes import UnsupportedHash, password_verifier
for encoded in sys.argv[1:]:
    try:
        password_verifier(encoded)
    except UnsupportedHash as refusal:
        print(refusal)
"""


def test_without_the_extra_its_hashes_are_refused_with_what_to_install() -> None:
    needing = [FORMS[form] for form in FORMS if "bcrypt" in form or "argon2" in form]
    told = subprocess.run(
        [sys.executable, "-c", WITHOUT, *FORMS.values()], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert told.stdout.splitlines() == ["needs what requirements-import.txt installs"] * len(needing), told.stderr


async def test_a_log_in_without_the_extra_is_refused_and_logged(
    passwords: PasswordHasher, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(imported_hashes, "bcrypt", None)
    with caplog.at_level(logging.WARNING):
        assert not await passwords.verify(PASSWORD, FORMS["bcrypt"])
    assert "requirements-import.txt" in caplog.text
    assert FORMS["bcrypt"] not in caplog.text


async def test_a_cheap_foreign_hash_takes_as_long_to_refuse_as_a_stranger() -> None:
    passwords = PasswordHasher(HashPool(1, 10, 0.1, null_counters()), 300_000)
    cheap = generate_password_hash(PASSWORD, "pbkdf2:sha256:10")

    async def seconds(encoded: str | None) -> float:
        began = time.process_time()
        assert not await passwords.verify("wrong", encoded)
        return time.process_time() - began

    for encoded in (cheap, FORMS["bcrypt"], "of no form"):
        # Other programs on the machine slow down a single measurement: by turns, and the best of each counts.
        pairs = [(await seconds(encoded), await seconds(None)) for _ in range(8)]
        known, unknown = map(min, zip(*pairs, strict=True))
        assert known == pytest.approx(unknown, rel=0.3)
