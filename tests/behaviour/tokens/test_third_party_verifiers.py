"""Libraries that are not ours accept our tokens, and know the issuer's address alone: one service per algorithm.

The third one, jose, runs in Node: tests/system/test_jose_of_node.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import httpx
import jwt as pyjwt
import pytest
from joserfc import jwt as jose
from joserfc.errors import JoseError
from joserfc.jwk import KeySet

from devstack.stack import Stack
from jwt_tools.keys import ALGORITHMS
from tests.conftest import Serving
from tests.support.users.people import Walker, new_person

ESSENTIAL = ["iss", "sub", "aud", "exp", "iat", "jti", "client_id"]
"""RFC 9068 section 2.2."""


@dataclass(frozen=True, slots=True)
class Issued:
    """A token, who issued it, and what it must say."""

    token: str
    issuer: str
    algorithm: str
    user: dict[str, object]

    @property
    def forged(self) -> str:
        """The same claims under a signature in which one letter differs."""
        signed, _, signature = self.token.rpartition(".")
        return f"{signed}.{'B' if signature[0] == 'A' else 'A'}{signature[1:]}"

    @property
    def jwks_uri(self) -> str:
        """Where the keys are, as the issuer's metadata has it (RFC 8414)."""
        metadata = httpx.get(f"{self.issuer}/.well-known/oauth-authorization-server").json()
        assert metadata["issuer"] == self.issuer
        return str(metadata["jwks_uri"])


@pytest.fixture(scope="module", params=ALGORITHMS)
def issued(request: pytest.FixtureRequest, serving: Serving, stack: Stack) -> Iterator[Issued]:
    """A token of somebody who has just logged in."""
    with serving(KEY_ALGORITHM=request.param) as service, service.client() as client:
        walk, person = Walker(client, stack.mailbox), new_person("verified")
        user = walk.register(person)
        yield Issued(walk.log_in(person), service.url, request.param, user)


def says_what_it_must(claims: dict[str, Any], issued: Issued) -> None:
    assert claims["sub"] == issued.user["id"]
    assert (claims["login"], claims["roles"]) == (issued.user["login"], issued.user["roles"])
    assert claims["permissions"] == issued.user["permissions"]
    assert claims["exp"] - claims["iat"] == 600


def test_the_header_names_the_algorithm_and_a_published_key(issued: Issued) -> None:
    header = pyjwt.get_unverified_header(issued.token)
    published = httpx.get(issued.jwks_uri).json()["keys"]
    assert (header["alg"], header["typ"]) == (issued.algorithm, "at+jwt")
    assert [key["alg"] for key in published if key["kid"] == header["kid"]] == [issued.algorithm]


def by_pyjwt(token: str, issued: Issued, audience: str) -> dict[str, Any]:
    key = pyjwt.PyJWKClient(issued.jwks_uri).get_signing_key_from_jwt(token)
    claims: dict[str, Any] = pyjwt.decode(
        token,
        key,
        algorithms=[issued.algorithm],
        issuer=issued.issuer,
        audience=audience,
        options={"require": ESSENTIAL},
    )
    return claims


def test_pyjwt_accepts_a_token_with_the_keys_at_the_address_and_no_other(issued: Issued) -> None:
    says_what_it_must(by_pyjwt(issued.token, issued, issued.issuer), issued)
    with pytest.raises(pyjwt.InvalidSignatureError):
        by_pyjwt(issued.forged, issued, issued.issuer)
    with pytest.raises(pyjwt.InvalidAudienceError):
        by_pyjwt(issued.token, issued, "https://other.example.com")


def by_joserfc(token: str, issued: Issued, audience: str) -> dict[str, Any]:
    keys = KeySet.import_key_set(httpx.get(issued.jwks_uri).json())
    decoded = jose.decode(token, keys, algorithms=[issued.algorithm])
    jose.JWTClaimsRegistry(
        iss={"essential": True, "value": issued.issuer},
        aud={"essential": True, "value": audience},
        exp={"essential": True},
        sub={"essential": True},
    ).validate(decoded.claims)
    return decoded.claims


# RFC 9864 gives EdDSA on this curve a name of its own, which too few libraries know as yet to sign under it.
@pytest.mark.filterwarnings("ignore:EdDSA is deprecated via RFC 9864")
def test_joserfc_accepts_a_token_with_the_published_keys_and_no_other(issued: Issued) -> None:
    says_what_it_must(by_joserfc(issued.token, issued, issued.issuer), issued)
    for token, audience in ((issued.forged, issued.issuer), (issued.token, "https://other.example.com")):
        with pytest.raises(JoseError):
            by_joserfc(token, issued, audience)
