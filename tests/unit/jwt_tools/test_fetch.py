"""What an issuer may answer, slow, malformed, too large or from elsewhere, and how little comes of it."""

from __future__ import annotations

import asyncio
import json
import time
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from jwt_tools.fetch import is_http
from jwt_tools.remote import RETRY_PAUSE, RemoteKeys
from tests.support.servers.key_server import JWKS, METADATA, KeyServer, Saying, dripping, http, published
from tests.support.servers.smtp_server import Certificates
from tests.support.values.remote_keys import STRANGER, has_landed, knows, let_pass, refuses


async def test_a_silent_issuer_is_waited_for_three_seconds_and_by_one_reader(
    server: KeyServer, keys: RemoteKeys
) -> None:
    server.open.clear()
    began = time.monotonic()
    await asyncio.gather(*(refuses(keys) for _ in range(100)))
    assert 2 < time.monotonic() - began < 5
    await has_landed(keys)
    began = time.monotonic()
    await asyncio.gather(*(refuses(keys) for _ in range(100)))
    assert time.monotonic() - began < 1
    assert len(server.calls) == 1
    server.open.set()
    let_pass(keys, RETRY_PAUSE)
    assert await knows(keys, server.key)


HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"


@pytest.mark.parametrize(
    "slow",
    [
        dripping(HEAD + b"Content-Length: 10000\r\n\r\n", b" ", 6),
        dripping(HEAD + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\n \r\n", 6),
        dripping(HEAD + b"X-Header: ", b"x", 6),
        dripping(b"", b"H", 6),
    ],
    ids=["body", "chunks", "header", "status"],
)
async def test_an_issuer_that_drips_is_not_waited_for_much_longer(
    server: KeyServer, keys: RemoteKeys, slow: Saying
) -> None:
    server.says[JWKS] = slow
    began = time.monotonic()
    await asyncio.gather(*(refuses(keys) for _ in range(20)))
    assert time.monotonic() - began < 5
    let_pass(keys, RETRY_PAUSE)
    began = time.monotonic()
    await asyncio.gather(*(refuses(keys) for _ in range(20)))
    assert time.monotonic() - began < 5
    assert server.paths.count(JWKS) <= 2
    await has_landed(keys)
    server.says = {}
    let_pass(keys, RETRY_PAUSE)
    assert await knows(keys, server.key)


def of_keys(*jwks: object) -> bytes:
    return published({"keys": list(jwks)})


FORGERS = STRANGER.verifying.jwk
GOOD = json.dumps({"keys": [FORGERS]}).encode()

MALFORMED: dict[str, bytes] = {
    "nothing": b"",
    "no HTTP": b"SSH-2.0-OpenSSH_9.2p1\r\n",
    "half a status": b"HTTP/1.1 2",
    "odd status": b"HTTP/1.1 two OK\r\n\r\n",
    "half a header": HEAD[:40],
    "too many headers": HEAD + b"X: y\r\n" * 1000 + b"\r\n" + GOOD,
    "an endless header": HEAD + b"X: " + b"y" * 100_000 + b"\r\n\r\n" + GOOD,
    "half a body": HEAD + b"Content-Length: 10000\r\n\r\n" + GOOD[:-2],
    "odd chunks": HEAD + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n" + GOOD,
    "half a chunk": HEAD + b"Transfer-Encoding: chunked\r\n\r\nffff\r\n" + GOOD,
    "no body": http(200),
    "text": http(200, b"<html>"),
    "null": http(200, b"null"),
    "a number": http(200, b"7"),
    "a number without end": http(200, b"9" * 60_000),
    "depth without end": http(200, b"[" * 60_000),
    "no UTF-8": http(200, b'{"keys": ["\xff"]}'),
    "a list": published([FORGERS]),
    "no keys": published({}),
    "keys as an object": published({"keys": {"0": FORGERS}}),
    "an empty list": of_keys(),
    "keys of no use": of_keys(None, 7, "key", [FORGERS], {}, {**FORGERS, "d": "AQAB"}, {**FORGERS, "use": "enc"}),
    "lists for words": of_keys(*({**FORGERS, name: [FORGERS[name]]} for name in FORGERS if name != "alg")),
    "too large": http(200, GOOD + b" " * 65_536),
    "too large in chunks": HEAD + b"Transfer-Encoding: chunked\r\n\r\n20000\r\n" + GOOD + b" " * 200_000,
    "unasked 304": http(304),
    **{f"status {status}": http(status, GOOD) for status in (201, 203, 206, 400, 401, 403, 404, 410, 429, 500, 503)},
}


@pytest.mark.parametrize("malformed", MALFORMED.values(), ids=MALFORMED)
async def test_a_malformed_list_is_none_and_never_takes_the_place_of_a_good_one(
    server: KeyServer, malformed: bytes
) -> None:
    server.says[JWKS] = malformed
    newcomer = RemoteKeys(server.url)
    await refuses(newcomer)
    assert server.paths == [METADATA, JWKS]

    server.says = {}
    keys = RemoteKeys(server.url)
    assert await knows(keys, server.key)
    # With a tag of ours a 304 would be as good an answer as any.
    keys._published = replace(keys._published, etag="") if keys._published else None
    server.says[JWKS] = malformed
    let_pass(keys, 301)
    for _ in range(3):
        assert await knows(keys, server.key)
        await has_landed(keys)
        let_pass(keys, 60)
    await refuses(keys)
    assert server.paths.count(JWKS) == 2 + 4


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_nobody_sends_us_elsewhere_for_keys(server: KeyServer, status: int) -> None:
    with KeyServer() as elsewhere:
        server.says[JWKS] = http(status, Location=f"{elsewhere.url}{JWKS}")
        await refuses(RemoteKeys(server.url))
        server.says[METADATA] = http(status, Location=f"{elsewhere.url}{METADATA}")
        await refuses(RemoteKeys(server.url))
        assert elsewhere.calls == []


@pytest.mark.parametrize("location", ["file:///etc/passwd", "//", "ftp://127.0.0.1/x", "http://[", "\xff"])
async def test_no_odd_place_either(server: KeyServer, location: str) -> None:
    server.says[JWKS] = http(302, Location=location)
    await refuses(RemoteKeys(server.url))


@pytest.mark.parametrize("metadata", [http(200, b"[]"), http(200, b"x"), http(404), http(200, b" " * 70_000), b""])
async def test_malformed_metadata_is_none(server: KeyServer, metadata: bytes) -> None:
    server.says[METADATA] = metadata
    await refuses(RemoteKeys(server.url), server.key.kid)


@pytest.mark.parametrize("tag", ["untagged", '"two" "tags"', '"new\r\n line"', '"\x01"', f'"{"x" * 1000}"'])
async def test_a_tag_that_is_none_is_not_sent_back(server: KeyServer, keys: RemoteKeys, tag: str) -> None:
    server.says[JWKS] = published({"keys": [server.key.verifying.jwk]}, ETag=tag)
    for _ in range(3):
        assert await knows(keys, server.key)
        await has_landed(keys)
        let_pass(keys, 301)
    assert {known for _, known in server.calls} == {""}
    assert server.paths.count(JWKS) == 3


async def test_a_certificate_that_nobody_vouches_for_is_an_issuer_that_is_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    certificates = Certificates(tmp_path)
    with KeyServer(certificates.server_context) as server:
        await refuses(RemoteKeys(server.url), server.key.kid)
        assert server.calls == []
        monkeypatch.setenv("SSL_CERT_FILE", str(certificates.ca))
        assert await knows(RemoteKeys(server.url), server.key)


async def test_metadata_that_came_by_tls_cannot_do_without_it_for_the_keys(
    server: KeyServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    certificates = Certificates(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(certificates.ca))
    with KeyServer(certificates.server_context) as issuer:
        issuer.metadata["jwks_uri"] = f"{server.url}{JWKS}"
        await refuses(RemoteKeys(issuer.url), server.key.kid)
        assert issuer.paths == [METADATA]
    assert server.calls == []


@given(st.text(max_size=60) | st.text(max_size=20).map("http://{}".format))
def test_no_text_is_too_odd_for_an_address(text: str) -> None:
    assert is_http(text) in (True, False)


@settings(deadline=None, max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.binary(max_size=300)
    | st.binary(max_size=300).map(lambda body: http(200, body))
    | st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=9) | st.sampled_from([*FORGERS.values()]),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["keys", *FORGERS]), inner),
        max_leaves=12,
    ).map(published)
)
def test_nothing_that_an_issuer_says_is_too_odd(server: KeyServer, answer: bytes) -> None:
    server.says[JWKS] = answer
    asyncio.run(refuses(RemoteKeys(server.url, jwks_url=f"{server.url}{JWKS}")))
