"""The keys of an issuer that is elsewhere: how often it is asked, and what is known meanwhile."""

from __future__ import annotations

import asyncio
import time

import pytest

from devstack.ports import free_port
from jwt_tools.keys import SigningKey
from jwt_tools.remote import RETRY_PAUSE, RemoteKeys, _metadata_url
from tests.support.servers.key_server import JWKS, METADATA, KeyServer, http, published
from tests.support.values.remote_keys import STRANGER, has_landed, knows, let_pass, refuses

DAY = 86_400


async def test_the_address_is_learned_from_the_metadata_and_the_list_is_read_once(
    server: KeyServer, keys: RemoteKeys
) -> None:
    for _ in range(100):
        assert await knows(keys, server.key)
    assert server.paths == [METADATA, JWKS]


async def test_who_is_given_the_address_asks_for_no_metadata(server: KeyServer) -> None:
    keys = RemoteKeys("https://auth.example.com", jwks_url=f"{server.url}{JWKS}")
    assert await knows(keys, server.key)
    assert server.paths == [JWKS]


async def test_a_burst_at_the_start_makes_one_fetch(server: KeyServer, keys: RemoteKeys) -> None:
    server.open.clear()
    burst = [asyncio.create_task(knows(keys, server.key)) for _ in range(200)]
    await asyncio.sleep(0.2)
    server.open.set()
    assert all(await asyncio.gather(*burst))
    assert server.paths == [METADATA, JWKS]


async def test_who_hangs_up_while_waiting_leaves_the_others_their_fetch(server: KeyServer, keys: RemoteKeys) -> None:
    server.open.clear()
    first, second = (asyncio.create_task(knows(keys, server.key)) for _ in range(2))
    await asyncio.sleep(0.1)
    first.cancel()
    await asyncio.sleep(0)
    server.open.set()
    assert await second
    assert server.paths == [METADATA, JWKS]


def test_a_reading_that_ended_with_its_loop_does_not_keep_the_next_one_from_reading(
    server: KeyServer, keys: RemoteKeys
) -> None:
    assert asyncio.run(knows(keys, server.key))
    let_pass(keys, 301)
    for _ in range(3):
        assert asyncio.run(knows(keys, server.key))
    new = server.rotate()
    assert asyncio.run(knows(keys, new))


@pytest.mark.parametrize(
    ("cache_control", "age", "seconds"),
    [
        ("public, max-age=300", "", 300),
        ("MAX-AGE=900", "", 900),
        ("public,max-age=900", "", 900),
        ("", "", 300),
        ("no-cache", "", 300),
        ("max-age=soon", "", 300),
        ("s-maxage=900", "", 300),
        ("max-age=0", "", 1),
        ("max-age=999999999", "", 3600),
        ("max-age=99999999999999999999", "", 3600),
        ("max-age=300", "100", 200),
        ("max-age=300", "299", 1),
        ("max-age=300", "-1", 300),
        ("max-age=300", "\N{SUPERSCRIPT TWO}", 300),
    ],
)
async def test_a_list_is_kept_as_long_as_its_issuer_says_within_reason(
    server: KeyServer, keys: RemoteKeys, cache_control: str, age: str, seconds: int
) -> None:
    server.cache_control, server.age = cache_control, age
    await knows(keys, server.key)
    let_pass(keys, seconds - 15)
    assert await knows(keys, server.key)
    await has_landed(keys)
    assert server.paths.count(JWKS) == 1
    let_pass(keys, 16)
    assert await knows(keys, server.key)
    await has_landed(keys)
    assert server.paths.count(JWKS) == 2


async def test_an_old_list_serves_while_it_is_read_again(server: KeyServer, keys: RemoteKeys) -> None:
    old = server.key
    await knows(keys, old)
    new = server.rotate()
    server.open.clear()
    let_pass(keys, 301)
    for _ in range(100):
        assert await asyncio.wait_for(knows(keys, old), 1)
    server.open.set()
    await has_landed(keys)
    assert await knows(keys, new)
    assert not await knows(keys, old), "a withdrawn key"
    assert server.paths[:3] == [METADATA, JWKS, JWKS]


async def test_what_has_not_changed_is_not_sent_again(server: KeyServer, keys: RemoteKeys) -> None:
    await knows(keys, server.key)
    for count in (2, 3):
        let_pass(keys, 301)
        assert await knows(keys, server.key)
        await has_landed(keys)
        assert len(server.calls) == count + 1
    tags = [known for path, known in server.calls if path == JWKS]
    assert tags[0] == ""
    assert tags[1] == tags[2] != ""
    let_pass(keys, DAY - 60)
    server.stop()
    assert await knows(keys, server.key), "an answer of 304 makes the list as good as new"


async def test_a_new_key_is_found_at_its_first_token(server: KeyServer, keys: RemoteKeys) -> None:
    await knows(keys, server.key)
    new = server.rotate()
    found = await asyncio.gather(*(knows(keys, new) for _ in range(50)))
    assert all(found), "whoever comes while the list is read waits for it"
    assert server.paths == [METADATA, JWKS, JWKS]


async def test_a_thousand_made_up_names_cost_one_call_a_minute(server: KeyServer, keys: RemoteKeys) -> None:
    await knows(keys, server.key)
    for minute in range(1, 4):
        for number in range(1000):
            assert await keys.find_key(f"made up {number}") is None
        assert not any(await asyncio.gather(*(knows(keys, STRANGER) for _ in range(1000))))
        assert server.paths == [METADATA, *[JWKS] * (1 + minute)]
        let_pass(keys, 61)
    assert await knows(keys, server.key)


async def test_a_made_up_name_is_no_reason_to_read_twice_at_the_start(server: KeyServer, keys: RemoteKeys) -> None:
    assert not await knows(keys, STRANGER)
    assert server.paths == [METADATA, JWKS]


@pytest.mark.parametrize("away", ["refuses", "fails"])
async def test_an_old_list_serves_on_for_a_day_while_the_issuer_is_away(
    server: KeyServer, keys: RemoteKeys, away: str
) -> None:
    await knows(keys, server.key)
    if away == "refuses":
        server.stop()
    else:
        server.says = {JWKS: http(500), METADATA: http(500)}
    for _ in range(23):
        let_pass(keys, 3600)
        assert await knows(keys, server.key)
        await has_landed(keys)
    let_pass(keys, 3601)
    await refuses(keys, server.key.kid)
    if away == "refuses":
        server.start()
    server.says = {}
    let_pass(keys, RETRY_PAUSE)
    assert await knows(keys, server.key)


async def test_while_the_issuer_is_away_there_is_a_pause_between_two_tries(server: KeyServer, keys: RemoteKeys) -> None:
    await knows(keys, server.key)
    let_pass(keys, 301)
    server.says = {JWKS: http(503), METADATA: http(503)}
    for tries in range(1, 4):
        for _ in range(100):
            assert await knows(keys, server.key)
            await has_landed(keys)
        assert len(server.calls) == 2 + tries
        let_pass(keys, RETRY_PAUSE)


async def test_an_old_list_does_not_tell_whether_a_name_is_made_up(server: KeyServer, keys: RemoteKeys) -> None:
    await knows(keys, server.key)
    server.stop()
    assert not await knows(keys, STRANGER), "a fresh list does"
    let_pass(keys, 301)
    for _ in range(3):
        await refuses(keys)
    assert await knows(keys, server.key)


async def test_without_any_list_the_answer_comes_at_once_and_each_try_is_made_once(
    server: KeyServer, keys: RemoteKeys
) -> None:
    server.says[METADATA] = http(500)
    for tries in range(1, 4):
        await asyncio.gather(*(refuses(keys) for _ in range(100)))
        for _ in range(100):
            await refuses(keys)
        assert server.paths == [METADATA] * tries
        let_pass(keys, RETRY_PAUSE)
    server.says = {}
    assert await knows(keys, server.key)


async def test_where_nobody_listens_the_answer_comes_at_once() -> None:
    keys = RemoteKeys(f"http://127.0.0.1:{free_port()}")
    began = time.monotonic()
    for _ in range(100):
        await refuses(keys)
    assert time.monotonic() - began < 2


@pytest.mark.parametrize(
    "metadata",
    [
        {"issuer": ...},
        {"issuer": "https://other.example.com"},
        {"issuer": None},
        {"issuer": ["x"]},
        {"jwks_uri": ...},
        {"jwks_uri": 7},
        {"jwks_uri": ""},
        {"jwks_uri": "/.well-known/jwks.json"},
        {"jwks_uri": "file:///etc/passwd"},
        {"jwks_uri": "ftp://127.0.0.1/keys"},
        {"jwks_uri": "data:application/json,{}"},
        {"jwks_uri": "http://"},
        {"jwks_uri": "http://[::1/"},
        {"jwks_uri": "http://127.0.0.1:70000/"},
        {"jwks_uri": "http://127.0.0.1:0/"},
        {"jwks_uri": "http://127.0.0.1/\N{SNOWMAN}"},
        {"jwks_uri": "http://127.0.0.1/ HTTP/1.1\r\nHost: x"},
        {"jwks_uri": f"http://{'x' * 300}/"},
    ],
    ids=str,
)
async def test_metadata_of_another_issuer_or_with_no_address_of_keys_is_none(
    server: KeyServer, metadata: dict[str, object]
) -> None:
    server.metadata = {name: value for name, value in {**server.metadata, **metadata}.items() if value is not ...}
    await refuses(RemoteKeys(server.url), server.key.kid)
    assert server.paths == [METADATA]


@pytest.mark.parametrize(
    ("issuer", "address"),
    [
        ("https://example.com", "https://example.com/.well-known/oauth-authorization-server"),
        ("https://example.com/", "https://example.com/.well-known/oauth-authorization-server"),
        ("https://example.com:8443/one/two", "https://example.com:8443/.well-known/oauth-authorization-server/one/two"),
    ],
)
def test_metadata_lies_between_the_host_and_the_path(issuer: str, address: str) -> None:
    assert _metadata_url(issuer) == address


async def test_the_issuer_of_a_path_is_read_there(server: KeyServer) -> None:
    issuer = f"{server.url}/tenant"
    server.says[f"{METADATA}/tenant"] = published({**server.metadata, "issuer": issuer})
    assert await knows(RemoteKeys(issuer), server.key)
    assert server.paths == [f"{METADATA}/tenant", JWKS]


async def test_a_list_that_has_moved_is_found_at_its_new_address(server: KeyServer, keys: RemoteKeys) -> None:
    await knows(keys, server.key)
    new = SigningKey.generate()
    server.says = {JWKS: http(404), "/new": published({"keys": [new.verifying.jwk]})}
    server.metadata["jwks_uri"] = f"{server.url}/new"
    let_pass(keys, 301)
    assert await knows(keys, server.key)
    await has_landed(keys)
    let_pass(keys, RETRY_PAUSE)
    assert await knows(keys, server.key)
    await has_landed(keys)
    assert await knows(keys, new)
    assert server.paths == [METADATA, JWKS, JWKS, METADATA, "/new"]
    assert server.calls[-1] == ("/new", ""), "the tag was the other address's"


async def test_where_the_list_is_is_asked_again_within_an_hour(server: KeyServer, keys: RemoteKeys) -> None:
    await knows(keys, server.key)
    let_pass(keys, 3601)
    await knows(keys, server.key)
    await has_landed(keys)
    assert server.paths == [METADATA, JWKS, METADATA, JWKS]


@pytest.mark.parametrize("address", ["", "auth.example.com", "file:///etc/passwd", "ftp://x/", "https://", "http://["])
def test_an_address_that_is_none_is_told_when_the_service_starts(address: str) -> None:
    with pytest.raises(ValueError, match="must start with https"):
        RemoteKeys(address)
    if address:  # as an unset variable of the environment is: the address is to be learned
        with pytest.raises(ValueError, match="must start with https"):
            RemoteKeys("https://auth.example.com", jwks_url=address)
