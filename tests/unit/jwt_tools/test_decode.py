"""What a verifier accepts, and everything that it does not."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
import time
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st

from jwt_tools.create import AccessTokenClaims, create_access_token
from jwt_tools.decode import Principal, TokenVerifier
from jwt_tools.errors import InvalidToken
from jwt_tools.keys import KeyRing, SigningKey, VerifyingKey

ISSUER = "https://auth.example.com"
KEY = SigningKey.generate()
RING = KeyRing([KEY.verifying])
VERIFIER = TokenVerifier(RING, ISSUER, ISSUER, leeway=30)
CLAIMS = AccessTokenClaims("user-id", "web", "session-id", 1, ("pwd", "otp"), "alice", ("user",), ("account:read",))


def token_of(ttl: int = 600) -> str:
    return create_access_token(KEY, CLAIMS, issuer=ISSUER, audience=ISSUER, ttl=ttl)


def forged(key: Any = KEY.private_key, algorithm: str = "ES256", headers: Any = None, **claims: Any) -> str:
    """A token of our key with other claims; a claim given as ... is left out."""
    original = jwt.decode(token_of(), options={"verify_signature": False})
    body = {name: value for name, value in {**original, **claims}.items() if value is not ...}
    return jwt.encode(body, key, algorithm=algorithm, headers={"typ": "at+jwt", "kid": KEY.kid, **(headers or {})})


def verify(token: str) -> Principal:
    return asyncio.run(VERIFIER.verify(token))


def refuse(token: str) -> None:
    with pytest.raises(InvalidToken):
        verify(token)


def test_a_token_of_ours_names_its_bearer() -> None:
    caller = verify(token_of())
    assert (caller.subject, caller.sid, caller.login) == ("user-id", "session-id", "alice")
    assert caller.roles == {"user"}
    assert caller.permissions == {"account:read"}


def test_the_header_is_that_of_rfc_9068_and_the_claims_are_complete() -> None:
    token = token_of()
    assert jwt.get_unverified_header(token) == {"alg": "ES256", "typ": "at+jwt", "kid": KEY.kid}
    claims = jwt.decode(token, options={"verify_signature": False})
    names = "iss sub aud exp iat nbf jti client_id sid auth_time amr login roles permissions"
    assert sorted(claims) == sorted(names.split())
    assert claims["exp"] - claims["iat"] == 600


@pytest.mark.parametrize("typ", ["JWT", "at+JWT2", "", None, "id+jwt"])
def test_another_type_of_token_is_refused(typ: str | None) -> None:
    refuse(forged(headers={"typ": typ}))


@pytest.mark.parametrize("kid", [None, "", "../../dev/null", "' OR 1=1", "x" * 10_000, 7, ["a"]])
def test_a_key_that_is_not_in_the_ring_is_refused(kid: object) -> None:
    header = {"alg": "ES256", "typ": "at+jwt", "kid": kid}
    signed = token_of().split(".")
    signed[0] = base64.urlsafe_b64encode(json.dumps(header).encode()).rstrip(b"=").decode()
    refuse(".".join(signed))


@pytest.mark.parametrize("extra", [{"crit": ["x"], "x": 1}, {"jwk": KEY.verifying.jwk}, {"jku": "http://127.0.0.1/"}])
def test_a_header_cannot_bring_a_key_or_an_extension_along(extra: dict[str, Any]) -> None:
    stranger = SigningKey.generate()
    refuse(forged(key=stranger.private_key, headers=extra))


@pytest.mark.parametrize("alg", ["none", "None", "nOnE", "HS256", "ES384", "RS256", ""])
def test_the_algorithm_belongs_to_the_key(alg: str) -> None:
    header = {"alg": alg, "typ": "at+jwt", "kid": KEY.kid}
    _, body, signature = token_of().split(".")
    head = base64.urlsafe_b64encode(json.dumps(header).encode()).rstrip(b"=").decode()
    refuse(f"{head}.{body}.{signature}")
    refuse(f"{head}.{body}.")


@pytest.mark.parametrize("encoding", [Encoding.PEM, Encoding.DER])
def test_the_public_key_is_no_shared_secret(encoding: Encoding) -> None:
    secret = KEY.verifying.public_key.public_bytes(encoding, PublicFormat.SubjectPublicKeyInfo)
    # PyJWT itself declines to sign with such a secret, so the forger signs by hand (CVE-2022-29217).
    header = base64.urlsafe_b64encode(json.dumps({"alg": "HS256", "typ": "at+jwt", "kid": KEY.kid}).encode()).rstrip(
        b"="
    )
    body = token_of().split(".")[1].encode()
    signature = base64.urlsafe_b64encode(hmac.new(secret, header + b"." + body, hashlib.sha256).digest()).rstrip(b"=")
    refuse(b".".join((header, body, signature)).decode())


@pytest.mark.parametrize(
    "claims",
    [
        {"iss": "https://evil.example.com"},
        {"aud": "https://other.example.com"},
        {"aud": [ISSUER, "https://other.example.com"]},
        {"exp": "9999999999"},
        {"exp": None},
        {"exp": 1e308},
        {"nbf": "soon"},
        {"sub": 7},
        {"sid": None},
        {"login": ["alice"]},
        {"roles": "admin"},
        {"roles": [1]},
        {"permissions": {"a": 1}},
        *({name: ...} for name in ("iss", "sub", "aud", "exp", "iat", "nbf", "jti", "client_id", "sid", "login")),
    ],
    ids=str,
)
def test_a_claim_that_is_missing_foreign_or_malformed_is_refused(claims: dict[str, Any]) -> None:
    refuse(forged(**claims))


@pytest.mark.parametrize(("seconds", "good"), [(-25, True), (-35, False)])
def test_an_expired_token_has_thirty_seconds_of_mercy(seconds: int, *, good: bool) -> None:
    token = forged(exp=int(time.time()) + seconds)
    if good:
        verify(token)
    else:
        refuse(token)


@pytest.mark.parametrize(("seconds", "good"), [(25, True), (35, False)])
def test_a_token_of_the_near_future_too(seconds: int, *, good: bool) -> None:
    token = forged(nbf=int(time.time()) + seconds)
    if good:
        verify(token)
    else:
        refuse(token)


@pytest.mark.parametrize("tail", ["=", "==", ".", "!", " ", "\n", "A"])
def test_a_token_has_one_spelling_only(tail: str) -> None:
    refuse(token_of() + tail)


def test_the_unused_bits_of_the_last_letter_make_no_second_spelling() -> None:
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    token = token_of()
    for letter in alphabet:
        if letter != token[-1]:
            refuse(token[:-1] + letter)


@given(st.text(st.characters(), max_size=300))
def test_no_text_is_too_odd(text: str) -> None:
    refuse(text)


# What was verified before is not verified again; what can change the verdict is looked at all the same.


async def test_a_remembered_token_expires_like_any_other() -> None:
    verifier = TokenVerifier(RING, ISSUER, ISSUER, leeway=0)
    token = forged(exp=int(time.time()) + 2)
    assert await verifier.verify(token) is await verifier.verify(token)
    await asyncio.sleep(2.1)
    with pytest.raises(InvalidToken):
        await verifier.verify(token)


async def test_a_remembered_token_goes_with_its_key() -> None:
    class Ring:
        key: VerifyingKey | None = KEY.verifying

        async def find_key(self, kid: str) -> VerifyingKey | None:
            return self.key if self.key and kid == self.key.kid else None

    ring = Ring()
    verifier, token = TokenVerifier(ring, ISSUER, ISSUER, leeway=30), token_of()
    await verifier.verify(token)
    ring.key = None
    with pytest.raises(InvalidToken):
        await verifier.verify(token)


async def test_a_token_that_was_refused_is_not_remembered_and_a_twin_of_a_good_one_is_refused() -> None:
    verifier, token = TokenVerifier(RING, ISSUER, ISSUER, leeway=30), token_of()
    await verifier.verify(token)
    for twin in (f"{token}=", f"{token} ", token[:-1] + ("A" if token[-1] != "A" else "B"), token.upper()):
        for _ in range(2):
            with pytest.raises(InvalidToken):
                await verifier.verify(twin)


async def test_no_more_tokens_are_remembered_than_there_is_room_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("jwt_tools.decode._MAX_CACHED", 3)
    verifier = TokenVerifier(RING, ISSUER, ISSUER, leeway=30)
    tokens = [token_of() for _ in range(10)]
    for _ in range(2):
        assert [(await verifier.verify(token)).login for token in tokens] == ["alice"] * 10
    assert len(verifier._verified) == 3
