"""Signing keys, verifying keys, their names, and the published list of them (RFC 7517)."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Protocol, Self, cast

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import (
    SECP256R1,
    EllipticCurvePrivateKey,
    EllipticCurvePublicKey,
    generate_private_key,
)
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key as generate_rsa_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_der_private_key
from jwt import InvalidKeyError
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm
from jwt.utils import base64url_encode

ES256 = "ES256"
"""ECDSA on P-256 with SHA-256 (RFC 7518 section 3.4)."""

EDDSA = "EdDSA"
"""Ed25519 (RFC 8037 section 3.1)."""

RS256 = "RS256"
"""RSASSA-PKCS1-v1_5 with SHA-256 (RFC 7518 section 3.3), which RFC 9068 section 4 requires of every verifier."""

ALGORITHMS = (ES256, EDDSA, RS256)

RSA_BITS = 3072
"""As strong as the other two: 128 bits (NIST SP 800-57 part 1, table 2)."""

ACCESS_TOKEN_TYPE = "at+jwt"  # noqa: S105 - a media type
"""The media type of an access token (RFC 9068 section 2.1)."""

PrivateKey = EllipticCurvePrivateKey | Ed25519PrivateKey | RSAPrivateKey
PublicKey = EllipticCurvePublicKey | Ed25519PublicKey | RSAPublicKey

_GENERATE: Mapping[str, Callable[[], PrivateKey]] = {
    ES256: lambda: generate_private_key(SECP256R1()),
    EDDSA: Ed25519PrivateKey.generate,
    RS256: lambda: generate_rsa_key(65537, RSA_BITS),
}
_READ_JWK: Mapping[object, Callable[[dict[str, Any]], object]] = {
    "EC": ECAlgorithm.from_jwk,
    "OKP": OKPAlgorithm.from_jwk,
    "RSA": RSAAlgorithm.from_jwk,
}
_THUMBPRINT_MEMBERS = {"EC": ("crv", "kty", "x", "y"), "OKP": ("crv", "kty", "x"), "RSA": ("e", "kty", "n")}
"""The required members of a key, by its type (RFC 7638 section 3.2, RFC 8037 section 2)."""


class UnusableKey(ValueError):
    """A public key that must not verify tokens."""


def _algorithm_of(key: object) -> str:
    """Return the one algorithm that a key is used with; a token does not choose it (RFC 8725 section 3.1)."""
    if isinstance(key, EllipticCurvePublicKey) and isinstance(key.curve, SECP256R1):
        return ES256
    if isinstance(key, Ed25519PublicKey):
        return EDDSA
    if isinstance(key, RSAPublicKey) and key.key_size >= RSA_BITS:
        return RS256
    raise UnusableKey("neither P-256, nor Ed25519, nor RSA of at least 3072 bits")


def _jwk_of(key: PublicKey) -> dict[str, str]:
    if isinstance(key, EllipticCurvePublicKey):
        members: dict[str, Any] = ECAlgorithm.to_jwk(key, as_dict=True)
    elif isinstance(key, Ed25519PublicKey):
        members = OKPAlgorithm.to_jwk(key, as_dict=True)
    else:
        members = RSAAlgorithm.to_jwk(key, as_dict=True)
    return {name: str(members[name]) for name in _THUMBPRINT_MEMBERS[members["kty"]]}


def thumbprint(jwk: Mapping[str, str]) -> str:
    """Return the name of a key: RFC 7638, base64url."""
    members = {name: jwk[name] for name in _THUMBPRINT_MEMBERS[jwk["kty"]]}
    digest = sha256(json.dumps(members, separators=(",", ":"), sort_keys=True).encode()).digest()
    return base64url_encode(digest).decode()


@dataclass(frozen=True, slots=True)
class VerifyingKey:
    """A public key, its name, and the one algorithm that it is used with."""

    kid: str
    algorithm: str
    public_key: PublicKey

    @classmethod
    def from_public_key(cls, public_key: PublicKey) -> Self:
        """Return the key, named by its thumbprint."""
        return cls(thumbprint(_jwk_of(public_key)), _algorithm_of(public_key), public_key)

    @classmethod
    def from_jwk(cls, jwk: Mapping[str, object]) -> Self:
        """Return the key of an entry in a published list.

        Raises:
            UnusableKey: it has no name, is private, has another use, or has an algorithm that is not supported.
        """
        kid, use, declared = jwk.get("kid"), jwk.get("use", "sig"), jwk.get("alg")
        read = _READ_JWK.get(str(jwk.get("kty")))
        if not isinstance(kid, str) or use != "sig" or "d" in jwk or read is None:
            raise UnusableKey("no public signature key with a name")
        try:
            key = read(dict(jwk))
        except (InvalidKeyError, UnsupportedAlgorithm, ValueError, TypeError, KeyError) as error:
            raise UnusableKey(type(error).__name__) from error
        algorithm = _algorithm_of(key)
        if declared not in (None, algorithm):
            raise UnusableKey("for another algorithm")
        return cls(kid, algorithm, cast("PublicKey", key))

    @property
    def jwk(self) -> dict[str, str]:
        """Return the entry of a published list (RFC 7517 section 4)."""
        return {**_jwk_of(self.public_key), "kid": self.kid, "use": "sig", "alg": self.algorithm}


class SigningKey:
    """A private key; the algorithm belongs to the key, never to a token (RFC 8725 section 3.1)."""

    def __init__(self, private_key: PrivateKey) -> None:
        self.private_key = private_key
        self.verifying = VerifyingKey.from_public_key(private_key.public_key())
        self.kid = self.verifying.kid
        self.algorithm = self.verifying.algorithm

    @classmethod
    def generate(cls, algorithm: str = ES256) -> Self:
        """Return a new key. An RSA key takes up to a second: generate it on a thread."""
        return cls(_GENERATE[algorithm]())

    @classmethod
    def from_der(cls, der: bytes) -> Self:
        """Return the key that `to_der` has written."""
        return cls(cast("PrivateKey", load_der_private_key(der, password=None)))

    def to_der(self) -> bytes:
        """Return the key as PKCS #8, not encrypted: encrypt it before you store it."""
        return self.private_key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())


class KeySource(Protocol):
    """The keys of an issuer."""

    async def find_key(self, kid: str) -> VerifyingKey | None:
        """Return the issuer's key of that name, or None."""


class KeyRing:
    """A published list of keys, newest first."""

    def __init__(self, keys: Sequence[VerifyingKey]) -> None:
        self._keys = {key.kid: key for key in keys}
        self.jwks: dict[str, list[dict[str, str]]] = {"keys": [key.jwk for key in keys]}

    @classmethod
    def from_jwks(cls, jwks: object) -> Self:
        """Return the usable keys of a list; the others are left out (RFC 7517 section 5).

        Raises:
            UnusableKey: this is no list of keys.
        """
        entries = jwks.get("keys") if isinstance(jwks, dict) else None
        if not isinstance(entries, list):
            raise UnusableKey("not a JWK Set")
        usable = []
        for entry in entries:
            try:
                usable.append(VerifyingKey.from_jwk(entry if isinstance(entry, dict) else {}))
            except UnusableKey:
                continue
        return cls(usable)

    @property
    def kids(self) -> list[str]:
        """Return the names of all keys, newest first."""
        return list(self._keys)

    def __contains__(self, kid: object) -> bool:
        return kid in self._keys

    async def find_key(self, kid: str) -> VerifyingKey | None:
        """Return the key of that name, or None."""
        return self._keys.get(kid)
