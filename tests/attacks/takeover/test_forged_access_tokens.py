"""threats.md, section 1 E, "Tokens", rows 41 to 45 and 51: what passes for an access token, over HTTP."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import socket
import time
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from tests.support.requests.burst import send
from tests.support.service.process import Service
from tests.support.state.database_inspector import DatabaseInspector
from tests.support.users.people import Person, Walker
from tests.support.values.token_forger import TokenForger, stolen_key

INVALID = (401, "invalid_token")


@pytest.fixture
def forger(service: Service, db: DatabaseInspector, walk: Walker, alice: Person) -> TokenForger:
    """Has the service's own key and a good token of Alice's."""
    return TokenForger(stolen_key(service, db), walk.log_in(alice))


def tried(walk: Walker, token: str) -> tuple[int, str]:
    """What GET /me makes of it; a refusal says what is wrong in its header, too (RFC 6750 section 3)."""
    answer = walk.me(token)
    if answer.status_code == 200:
        return 200, ""
    assert answer.headers["WWW-Authenticate"] == f'Bearer error="{answer.json()["code"]}"'
    assert answer.headers["Content-Type"] == "application/problem+json"
    return answer.status_code, answer.json()["code"]


def segment(content: object) -> str:
    raw = content if isinstance(content, bytes) else json.dumps(content).encode()
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def test_what_the_forger_signs_is_as_good_as_ours(walk: Walker, forger: TokenForger) -> None:
    # Else all the refusals below would prove nothing.
    assert tried(walk, forger.token()) == (200, "")


# Row 41: what a header may not decide.


@pytest.mark.parametrize("alg", ["none", "None", "nOnE", "NONE", "", "HS256", "ES384", "RS256", "EdDSA", "ES256K"])
def test_row_41_the_algorithm_is_not_the_tokens_to_choose(alg: str, walk: Walker, forger: TokenForger) -> None:
    _, body, signature = forger.token().split(".")
    head = segment({"alg": alg, "typ": "at+jwt", "kid": forger.key.kid})
    assert tried(walk, f"{head}.{body}.{signature}") == INVALID
    assert tried(walk, f"{head}.{body}.") == INVALID


@pytest.mark.parametrize("kid", ["../../dev/null", "' OR 1=1", "", "x" * 4_000, None, 7, ["a"], {"a": 1}, ...], ids=str)
def test_row_41_a_made_up_name_of_a_key_finds_none(kid: Any, walk: Walker, forger: TokenForger) -> None:
    _, body, signature = forger.token().split(".")
    head = {"alg": "ES256", "typ": "at+jwt", "kid": kid}
    assert tried(walk, f"{segment({k: v for k, v in head.items() if v is not ...})}.{body}.{signature}") == INVALID


def test_row_41_a_key_or_an_address_in_the_header_is_looked_at_by_nobody(walk: Walker, forger: TokenForger) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = f"http://127.0.0.1:{listener.getsockname()[1]}/keys"
        for header in (
            {"jku": address},
            {"x5u": address},
            {"jwk": forger.key.verifying.jwk},
            {"x5c": ["MIIB"]},
            {"kid": address},
        ):
            stranger = TokenForger(type(forger.key).generate(), forger.token())
            assert tried(walk, stranger.token(headers={"kid": forger.key.kid, **header})) == INVALID
        listener.settimeout(0.3)
        with pytest.raises(TimeoutError):
            listener.accept()


def test_row_41_an_extension_that_must_be_understood_is_refused(walk: Walker, forger: TokenForger) -> None:
    assert tried(walk, forger.token(headers={"crit": ["x"], "x": 1})) == INVALID
    assert tried(walk, forger.token(headers={"crit": ["exp"], "exp": 1})) == INVALID


# Row 42: a public key is no shared secret.


def shared_secrets(forger: TokenForger) -> dict[str, bytes]:
    public = forger.key.verifying.public_key
    pem = public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    return {
        "PEM": pem,
        "PEM without its last line end": pem.rstrip(b"\n"),
        "PEM with CRLF": pem.replace(b"\n", b"\r\n"),
        "DER": public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo),
        "SSH": public.public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH),
        "JWK": json.dumps(forger.key.verifying.jwk).encode(),
        "nothing": b"",
    }


@pytest.mark.parametrize("alg", ["HS256", "HS384", "HS512"])
def test_row_42_nobody_signs_with_the_public_key(alg: str, walk: Walker, forger: TokenForger) -> None:
    digest = {"HS256": hashlib.sha256, "HS384": hashlib.sha384, "HS512": hashlib.sha512}[alg]
    body = forger.token().split(".")[1]
    for name, secret in shared_secrets(forger).items():
        signed = f"{segment({'alg': alg, 'typ': 'at+jwt', 'kid': forger.key.kid})}.{body}"
        signature = segment(hmac.new(secret, signed.encode(), digest).digest())
        assert tried(walk, f"{signed}.{signature}") == INVALID, name


@pytest.mark.parametrize("letters", ["." * 60_000, "a" * 60_000, "a." * 30_000, "a.b." + "c" * 60_000])
def test_row_41_what_is_no_token_by_its_shape_is_not_even_read(letters: str, walk: Walker) -> None:
    answer = walk.me(letters)
    assert answer.status_code in (401, 431)


# Row 43: a token of another kind, or for somebody else.


def test_row_43_no_other_secret_of_ours_is_an_access_token(walk: Walker, alice: Person) -> None:
    assert tried(walk, walk.open_session(alice).refresh) == INVALID
    session_key, _ = walk.open_login(alice)
    assert tried(walk, session_key) == INVALID


@pytest.mark.parametrize("typ", ["JWT", "id+jwt", "dpop+jwt", "logout+jwt", "at+jwt2", "", None, 7])
def test_row_43_a_token_of_another_type_is_refused(typ: Any, walk: Walker, forger: TokenForger) -> None:
    assert tried(walk, forger.token(headers={"typ": typ})) == INVALID


@pytest.mark.parametrize(
    "claims",
    [
        {"iss": "https://evil.test"},
        {"aud": "https://evil.test"},
        {"aud": ["https://evil.test"]},
        {"aud": []},
        *({name: ...} for name in ("iss", "sub", "aud", "exp", "iat", "nbf", "jti", "client_id", "sid")),
        {"sub": "admin"},
        {"sub": "00000000-0000-0000-0000-000000000000"},
        {"sid": "not-an-id"},
        {"sid": "00000000-0000-0000-0000-000000000000"},
        {"sub": 7, "sid": 7},
    ],
    ids=str,
)
def test_row_43_a_token_for_somebody_else_or_without_a_claim_is_refused(
    claims: dict[str, Any], walk: Walker, forger: TokenForger
) -> None:
    assert tried(walk, forger.token(**claims)) == INVALID


def test_row_43_a_session_belongs_to_its_user(walk: Walker, forger: TokenForger, bob: Person) -> None:
    walk.register(bob)
    bobs = walk.me(walk.log_in(bob)).json()["id"]
    assert tried(walk, forger.token(sub=bobs)) == INVALID


# Row 44: time.


@pytest.mark.parametrize(
    ("claim", "seconds", "verdict"),
    [("exp", -27, (200, "")), ("exp", -31, INVALID), ("nbf", 27, (200, "")), ("nbf", 35, INVALID)],
)
def test_row_44_clocks_may_differ_by_thirty_seconds(
    claim: str, seconds: int, verdict: tuple[int, str], walk: Walker, forger: TokenForger
) -> None:
    claims: dict[str, Any] = {claim: int(time.time()) + seconds}
    assert tried(walk, forger.token(**claims)) == verdict


@pytest.mark.parametrize("odd", [..., None, "9999999999", 1e308, 4102444800.5, True, [], {}, -1], ids=str)
def test_row_44_an_end_that_is_no_date_is_refused(odd: Any, walk: Walker, forger: TokenForger) -> None:
    assert tried(walk, forger.token(exp=odd)) == INVALID


def test_row_44_infinity_is_no_date(walk: Walker, forger: TokenForger) -> None:
    # Python writes and reads 1e309 as Infinity, which no JSON has.
    body = json.dumps(forger.claims | {"exp": 0}).replace('"exp": 0', '"exp": 1e309').encode()
    token = jwt.PyJWS().encode(
        body, forger.key.private_key, forger.key.algorithm, headers={"typ": "at+jwt", "kid": forger.key.kid}
    )
    assert tried(walk, token) == INVALID


# Row 45: one token, one spelling.


def test_row_45_after_a_logout_no_spelling_of_the_token_is_good(walk: Walker, alice: Person) -> None:
    token = walk.log_in(alice)
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    spellings = [token + tail for tail in ("", "=", "==", ".", "!", "A", "%3D")]
    spellings += [token[:-1] + letter for letter in alphabet]
    good = [spelling for spelling in spellings if tried(walk, spelling) == (200, "")]
    assert set(good) == {token}
    assert walk.client.post("/logout", headers={"Authorization": f"Bearer {token}"}).status_code == 204
    assert {tried(walk, spelling) for spelling in spellings} == {INVALID}


# Row 51: the header.

HEADERS: dict[str, list[bytes]] = {
    "none": [],
    "empty": [b""],
    "a scheme alone": [b"Bearer"],
    "a scheme and a space": [b"Bearer "],
    "two words": [b"Bearer a b"],
    "two headers": [b"Bearer GOOD", b"Bearer GOOD"],
    "20 kB": [b"Bearer " + b"a" * 20_000],
    "a byte that is no ASCII": [b"Bearer \xff\xfe"],
    "another scheme": [b"Basic x"],
    "basic credentials": [b"Basic " + base64.b64encode(b"alice:secret")],
    "dots": [b"Bearer ..."],
    "two dots": [b"Bearer .."],
    "a comma": [b"Bearer GOOD, Bearer GOOD"],
    "a tab": [b"Bearer\tGOOD"],
    "quotes": [b'Bearer "GOOD"'],
    "a JSON bomb": [b"Bearer " + segment(b"[" * 5_000).encode() + b"." + segment(b"[" * 5_000).encode() + b".x"],
    "a header that is no JSON": [b"Bearer " + segment(b"\x00\xff").encode() + b".e30.x"],
    "a header that is a list": [b"Bearer " + segment([]).encode() + b".e30.x"],
    "a number of five thousand digits": [b"Bearer " + segment(b'{"alg":' + b"9" * 5_000 + b"}").encode() + b".e30.x"],
}


@pytest.mark.parametrize("path", ["/me", "/me/sessions"])
@pytest.mark.parametrize("header", HEADERS)
def test_row_51_a_malformed_authorization_header_is_refused_with_a_challenge(
    header: str, path: str, service: Service, walk: Walker, alice: Person
) -> None:
    good = walk.log_in(alice).encode()
    lines = [b"Authorization: " + value.replace(b"GOOD", good) for value in HEADERS[header]]
    request = b"\r\n".join([b"GET " + path.encode() + b" HTTP/1.1", b"Host: x", b"Connection: close", *lines, b"", b""])
    answer = send(service, request)
    if answer.status == 400 or header == "20 kB":
        assert answer.status in (400, 401, 431)
        return  # The HTTP parser did not let it through to us.
    assert answer.outcome == INVALID
    # RFC 6750 section 3.1: who has sent nothing is told of no error.
    challenge = 'bearer realm="auth"' if header == "none" else 'bearer error="invalid_token"'
    assert f"www-authenticate: {challenge}" in answer.head.lower()


@pytest.mark.parametrize("place", ["access_token", "token", "authorization"])
def test_row_51_a_token_in_the_address_is_ignored(place: str, walk: Walker, alice: Person) -> None:
    answer = walk.client.get("/me", params={place: walk.log_in(alice)})
    assert (answer.status_code, answer.json()["code"]) == INVALID


def test_row_51_nothing_of_it_was_our_mistake(service: Service) -> None:
    assert "unforeseen" not in service.log()
    assert service.get("/health/ready").status_code == 200
