"""Password hashes as other systems store them: by their own libraries where we have them, else by their documents."""

from __future__ import annotations

import base64
import hashlib

import argon2
import bcrypt
from werkzeug.security import generate_password_hash

PASSWORD = "correct horse battery staple"


def ab64(raw: bytes) -> str:
    """passlib's base64: no padding, and a dot for the plus."""
    return base64.b64encode(raw).decode().rstrip("=").replace("+", ".")


def _django_pbkdf2(digest: str, password: str) -> str:
    made = hashlib.pbkdf2_hmac(digest, password.encode(), b"saltsaltsaltsaltsalt12", 800)
    return f"pbkdf2_{digest}$800$saltsaltsaltsaltsalt12${base64.b64encode(made).decode()}"


def _django_scrypt(password: str) -> str:
    made = hashlib.scrypt(password.encode(), salt=b"saltsaltsaltsaltsalt12", n=2048, r=8, p=5, dklen=64)
    return f"scrypt$2048$saltsaltsaltsaltsalt12$8$5${base64.b64encode(made).decode()}"


def _passlib_pbkdf2(digest: str, name: str, password: str) -> str:
    salt = bytes(range(200, 216))
    return f"${name}$900${ab64(salt)}${ab64(hashlib.pbkdf2_hmac(digest, password.encode(), salt, 900))}"


def each_form(password: str) -> dict[str, str]:
    """A hash of the password in each form that can be imported."""
    hashed = bcrypt.hashpw(password.encode(), bcrypt.gensalt(4)).decode()
    digest = hashlib.sha256(password.encode()).hexdigest()
    hasher = argon2.PasswordHasher(time_cost=1, memory_cost=64, parallelism=2)
    argon2i = argon2.PasswordHasher(time_cost=1, memory_cost=64, parallelism=1, type=argon2.Type.I).hash(password)
    return {
        "django pbkdf2_sha256": _django_pbkdf2("sha256", password),
        "django pbkdf2_sha1": _django_pbkdf2("sha1", password),
        "django scrypt": _django_scrypt(password),
        "django bcrypt": f"bcrypt${hashed}",
        "django bcrypt_sha256": "bcrypt_sha256$" + bcrypt.hashpw(digest.encode(), bcrypt.gensalt(4)).decode(),
        "django argon2": "argon2" + hasher.hash(password),
        "werkzeug pbkdf2 sha256": generate_password_hash(password, "pbkdf2:sha256:700"),
        "werkzeug pbkdf2 sha512": generate_password_hash(password, "pbkdf2:sha512:700"),
        "werkzeug pbkdf2 md5": generate_password_hash(password, "pbkdf2:md5:700"),
        "werkzeug scrypt": generate_password_hash(password, "scrypt:4096:8:1"),
        "passlib pbkdf2": _passlib_pbkdf2("sha1", "pbkdf2", password),
        "passlib pbkdf2-sha256": _passlib_pbkdf2("sha256", "pbkdf2-sha256", password),
        "passlib pbkdf2-sha512": _passlib_pbkdf2("sha512", "pbkdf2-sha512", password),
        "bcrypt": hashed,
        "bcrypt 2a": hashed.replace("$2b$", "$2a$"),
        "bcrypt 2y": hashed.replace("$2b$", "$2y$"),
        "argon2id": hasher.hash(password),
        "argon2i": argon2i,
    }
