"""Keys of every algorithm: what they sign, what they are called, and which keys of others are not taken."""

from __future__ import annotations

import asyncio
import json
from contextlib import suppress
from typing import Any

import jwt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from joserfc.jwk import ECKey, OKPKey, RSAKey, import_key

from jwt_tools.create import AccessTokenClaims, create_access_token
from jwt_tools.decode import TokenVerifier
from jwt_tools.errors import InvalidToken
from jwt_tools.keys import ALGORITHMS, KeyRing, SigningKey, UnusableKey, VerifyingKey

ISSUER = "https://auth.example.com"
KEYS = {algorithm: SigningKey.generate(algorithm) for algorithm in ALGORITHMS}
CLAIMS = AccessTokenClaims("user-id", "web", "session-id", 1, ("pwd", "otp"), "alice", ("user",), ("account:read",))

every_algorithm = pytest.mark.parametrize("algorithm", ALGORITHMS)


def token_of(key: SigningKey) -> str:
    return create_access_token(key, CLAIMS, issuer=ISSUER, audience=ISSUER, ttl=600)


def accepts(ring: KeyRing, token: str) -> bool:
    try:
        caller = asyncio.run(TokenVerifier(ring, ISSUER, ISSUER, leeway=30).verify(token))
    except InvalidToken:
        return False
    return caller.login == "alice"


def public(theirs: ECKey | OKPKey | RSAKey) -> dict[str, Any]:
    """Somebody's key, as it would stand in a list."""
    return {**theirs.as_dict(private=False), "kid": "theirs", "use": "sig"}


@every_algorithm
def test_a_key_verifies_what_it_has_signed_and_nothing_else(algorithm: str) -> None:
    key, stranger = KEYS[algorithm], SigningKey.generate(algorithm)
    ring = KeyRing([key.verifying])
    assert accepts(ring, token_of(key))
    assert not accepts(ring, token_of(stranger))
    head, body, signature = token_of(key).split(".")
    assert not accepts(ring, f"{head}.{body}.{'B' if signature[0] == 'A' else 'A'}{signature[1:]}")
    assert jwt.get_unverified_header(token_of(key)) == {"alg": algorithm, "typ": "at+jwt", "kid": key.kid}


@every_algorithm
def test_a_ring_of_all_algorithms_picks_the_key_by_its_name(algorithm: str) -> None:
    ring = KeyRing([key.verifying for key in KEYS.values()])
    assert accepts(ring, token_of(KEYS[algorithm]))
    for other in KEYS.values():
        renamed = jwt.encode(
            jwt.decode(token_of(KEYS[algorithm]), options={"verify_signature": False}),
            KEYS[algorithm].private_key,
            algorithm=algorithm,
            headers={"typ": "at+jwt", "kid": other.kid},
        )
        assert accepts(ring, renamed) == (other is KEYS[algorithm])


@every_algorithm
def test_a_published_key_comes_back_as_it_was(algorithm: str) -> None:
    key = KEYS[algorithm]
    told = json.loads(json.dumps(KeyRing([key.verifying]).jwks))
    ring = KeyRing.from_jwks(told)
    assert ring.kids == [key.kid]
    assert ring.jwks == told
    assert accepts(ring, token_of(key))
    (jwk,) = told["keys"]
    assert (jwk["alg"], jwk["use"], jwk["kid"]) == (algorithm, "sig", key.kid)
    assert not {"d", "p", "q", "dp", "dq", "qi", "k"} & set(jwk), "a part of the private key"


@every_algorithm
def test_a_key_is_named_by_its_thumbprint_as_another_library_makes_it(algorithm: str) -> None:
    theirs = import_key(dict(KEYS[algorithm].verifying.jwk))
    assert isinstance(theirs, ECKey | OKPKey | RSAKey)
    assert KEYS[algorithm].kid == theirs.thumbprint()


@every_algorithm
def test_a_stored_key_comes_back_as_it_was(algorithm: str) -> None:
    key = SigningKey.from_der(KEYS[algorithm].to_der())
    assert (key.kid, key.algorithm) == (KEYS[algorithm].kid, algorithm)
    assert accepts(KeyRing([KEYS[algorithm].verifying]), token_of(key))


@every_algorithm
@pytest.mark.parametrize(
    "change",
    [
        {"kid": ...},
        {"kid": None},
        {"kid": 7},
        {"kid": ["x"]},
        {"use": "enc"},
        {"use": None},
        {"use": ["sig"]},
        {"d": "AQAB"},
        {"d": None},
        {"alg": "none"},
        {"alg": "HS256"},
        {"alg": "ES384"},
        {"alg": "RS512"},
        {"alg": ["ES256", "EdDSA", "RS256"]},
        {"alg": ""},
        {"kty": ...},
        {"kty": "oct"},
        {"kty": ["EC"]},
        {"kty": {}},
        {"kty": "ec"},
        {"x": 7, "n": 7},
        {"x": "", "n": ""},
        {"x": "AA", "n": "AA"},
        {"x": "\N{SNOWMAN}", "n": "\N{SNOWMAN}"},
        {"x": ..., "n": ...},
        {"crv": "P-384", "e": "AA"},
        {"crv": ..., "e": ...},
        {"crv": ["P-256"], "e": ["AQAB"]},
    ],
    ids=str,
)
def test_a_key_that_is_private_for_something_else_or_nonsense_is_not_taken(
    algorithm: str, change: dict[str, Any]
) -> None:
    jwk = {name: value for name, value in {**KEYS[algorithm].verifying.jwk, **change}.items() if value is not ...}
    with pytest.raises(UnusableKey):
        VerifyingKey.from_jwk(jwk)
    good = KEYS["ES256"].verifying.jwk
    assert KeyRing.from_jwks({"keys": [jwk, good]}).kids == [good["kid"]], "what cannot be used is left out"


@every_algorithm
def test_a_key_may_leave_out_what_it_is_for(algorithm: str) -> None:
    jwk = {name: value for name, value in KEYS[algorithm].verifying.jwk.items() if name not in ("use", "alg")}
    assert VerifyingKey.from_jwk(jwk) == KEYS[algorithm].verifying


@pytest.mark.parametrize(
    "theirs", [ECKey.generate_key("P-256"), OKPKey.generate_key("Ed25519"), RSAKey.generate_key(3072)], ids=ALGORITHMS
)
def test_a_private_key_is_not_taken_even_if_somebody_publishes_it(theirs: ECKey | OKPKey | RSAKey) -> None:
    assert VerifyingKey.from_jwk(public(theirs)).kid == "theirs"
    with pytest.raises(UnusableKey):
        VerifyingKey.from_jwk({**theirs.as_dict(private=True), "kid": "theirs", "use": "sig"})


@pytest.mark.parametrize(
    "theirs",
    [
        RSAKey.generate_key(2048),
        ECKey.generate_key("P-384"),
        ECKey.generate_key("P-521"),
        ECKey.generate_key("secp256k1"),
        OKPKey.generate_key("Ed448"),
        OKPKey.generate_key("X25519"),
    ],
    ids=["RSA of 2048 bits", "P-384", "P-521", "secp256k1", "Ed448", "X25519"],
)
def test_a_key_that_is_too_small_or_of_another_curve_is_not_taken(theirs: ECKey | OKPKey | RSAKey) -> None:
    with pytest.raises(UnusableKey):
        VerifyingKey.from_jwk(public(theirs))


def test_a_point_beside_the_curve_is_not_taken() -> None:
    jwk = KEYS["ES256"].verifying.jwk
    with pytest.raises(UnusableKey):
        VerifyingKey.from_jwk({**jwk, "x": jwk["y"], "y": jwk["x"]})


@pytest.mark.parametrize("jwks", [None, 7, "keys", [], {}, {"keys": None}, {"keys": {}}, {"keys": "keys"}])
def test_what_is_no_list_of_keys_is_told_apart_from_an_empty_one(jwks: object) -> None:
    with pytest.raises(UnusableKey):
        KeyRing.from_jwks(jwks)
    assert KeyRing.from_jwks({"keys": []}).kids == []


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)
_words = st.sampled_from(["AQAB", "AA", "EC", "RSA", "OKP", "oct", "P-256", "P-521", "Ed25519", "X25519", "sig", "enc"])
_members = st.sampled_from(sorted({name for key in KEYS.values() for name in key.verifying.jwk} | {"d", "oth", "k"}))


@given(
    st.sampled_from([key.verifying.jwk for key in KEYS.values()]),
    st.dictionaries(_members, _json | _words, max_size=3),
    st.sets(_members, max_size=2),
)
def test_no_key_is_too_odd(honest: dict[str, str], changed: dict[str, Any], dropped: set[str]) -> None:
    jwk = {name: value for name, value in {**honest, **changed}.items() if name not in dropped}
    try:
        key = VerifyingKey.from_jwk(jwk)
    except UnusableKey:
        assert KeyRing.from_jwks({"keys": [jwk]}).kids == []
    else:
        assert key.algorithm in ALGORITHMS
        assert KeyRing.from_jwks({"keys": [jwk]}).kids == [jwk["kid"]]


@given(_json)
def test_no_list_is_too_odd(nonsense: Any) -> None:
    assert KeyRing.from_jwks({"keys": [nonsense]}).kids == []
    with suppress(UnusableKey):
        KeyRing.from_jwks(nonsense)
