"""The key ring: the signing keys, their names, and the list of public halves that everybody may see."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Self, cast

import jwt
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_der_private_key,
)
from jwt.utils import base64url_encode

ES256 = "ES256"
"""ECDSA on P-256 with SHA-256 (RFC 7518 section 3.4)."""

ACCESS_TOKEN_TYPE = "at+jwt"  # noqa: S105 - a media type
"""The media type of an access token (RFC 9068 section 2.1)."""


def thumbprint(jwk: dict[str, str]) -> str:
    """The name of a key: RFC 7638 over the members that make an EC key (section 3.2), base64url."""
    members = {name: jwk[name] for name in ("crv", "kty", "x", "y")}
    digest = sha256(json.dumps(members, separators=(",", ":"), sort_keys=True).encode()).digest()
    return base64url_encode(digest).decode()


@dataclass(frozen=True, slots=True)
class SigningKey:
    """One private key; the algorithm belongs to the key, never to a token (RFC 8725 section 3.1)."""

    private_key: ec.EllipticCurvePrivateKey
    public_key: ec.EllipticCurvePublicKey
    algorithm: str
    kid: str
    public_jwk: dict[str, str]

    @classmethod
    def of(cls, private_key: ec.EllipticCurvePrivateKey) -> Self:
        """Name a key and work out its public half."""
        public_key = private_key.public_key()
        members: dict[str, Any] = jwt.algorithms.ECAlgorithm.to_jwk(public_key, as_dict=True)
        jwk = {name: str(members[name]) for name in ("kty", "crv", "x", "y")}
        kid = thumbprint(jwk)
        return cls(private_key, public_key, ES256, kid, {**jwk, "kid": kid, "use": "sig", "alg": ES256})

    @classmethod
    def generate(cls) -> Self:
        """A new key."""
        return cls.of(ec.generate_private_key(ec.SECP256R1()))

    @classmethod
    def from_der(cls, der: bytes) -> Self:
        """A key as `to_der` wrote it."""
        return cls.of(cast("ec.EllipticCurvePrivateKey", load_der_private_key(der, password=None)))

    def to_der(self) -> bytes:
        """PKCS #8, not encrypted: whoever stores it encrypts it first."""
        return self.private_key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())


class KeyRing:
    """Signing keys, newest first: the first one signs, all of them verify."""

    def __init__(self, keys: Sequence[SigningKey]) -> None:
        if not keys:
            raise ValueError("a key ring needs a key")
        self._keys = {key.kid: key for key in keys}
        self.signing_key = keys[0]
        self.jwks: dict[str, list[dict[str, str]]] = {"keys": [key.public_jwk for key in keys]}

    def find(self, kid: object) -> SigningKey | None:
        """The key of that name, if it is ours."""
        return self._keys.get(kid) if isinstance(kid, str) else None
