"""threats.md, section 1 B, rows 21 and 22: which address a caller is counted by, whatever he says of himself.

Everything else about limits is in ``test_rate_limits.py``.
"""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
from collections import Counter
from collections.abc import Callable

import pytest

from tests.support.requests.burst import post, send
from tests.support.service.fixtures import service_fixture
from tests.support.service.process import ROOT, Service, fresh_address
from tests.support.service.slow_limits import LOGINS, PROXY, RECOVERIES, SLOWLY, a_recovery, forwarded, recoveries

counting = service_fixture(workers=2, **{**SLOWLY, "TRUSTED_PROXIES": f"{PROXY}/32"})
"""A service behind one trusted proxy."""


alone = service_fixture(workers=2, **SLOWLY)
"""The same without any proxy, as shipped: nobody's headers are believed."""


def lies(number: int) -> dict[str, str]:
    """Every header that some server somewhere takes the client's address from, different each time."""
    address = f"198.51.100.{number}"
    return [
        forwarded(address),
        forwarded(f"203.0.113.{number}", address, PROXY),
        forwarded(address, "unknown"),
        forwarded(f"{number}" * 4_000)
        if number < 10
        else forwarded(*(f"10.0.{number}.{hop}" for hop in range(300))),  # about 4 kB
        {"X-Real-IP": address, "True-Client-IP": address, "CF-Connecting-IP": address, "X-Client-IP": address},
        {"Forwarded": f'for={address};proto=https, for="[2001:db8::{number}]"'},
        {"X-Forwarded-For": "unknown", "X-Real-IP": "unknown", "Forwarded": "for=unknown"},
        {"X-Forwarded-For": f"2001:db8::{number}", "X-Forwarded-Host": address, "Via": f"1.1 {address}"},
        {"x-forwarded-for": "", "X-Original-Forwarded-For": address, "X-Cluster-Client-IP": address},
    ][number % 9]


@pytest.mark.parametrize("behind", ["a proxy", "none"])
def test_row_21_no_header_of_a_stranger_moves_the_429_by_one(behind: str, counting: Service, alone: Service) -> None:
    # Without a proxy even the loopback address that is usually trusted by default is a stranger's.
    service, address = (counting, None) if behind == "a proxy" else (alone, PROXY)
    with service.client(address) as client:
        statuses = recoveries(client, [lies(number) for number in range(100)])
    assert statuses == [202] * RECOVERIES + [429] * (100 - RECOVERIES)


def test_row_21_a_server_that_is_not_ours_believes_no_header_either(new_service: Callable[..., Service]) -> None:
    # By itself `uvicorn main:app` believes whoever calls from 127.0.0.1; docs/security.md says how to start it.
    service = new_service(LIMIT_RECOVERIES=SLOWLY["LIMIT_RECOVERIES"])
    command = [sys.executable, "-m", "uvicorn", "main:app", "--no-proxy-headers", "--port", str(service.port)]
    with service.log_file.open("ab") as log:
        process = subprocess.Popen(command, cwd=ROOT, env=service.environment, stdout=log, stderr=log)
        try:
            service.wait_until_ready()
            with service.client(PROXY) as client:
                statuses = recoveries(client, [forwarded(f"198.51.100.{number}") for number in range(40)])
        finally:
            process.kill()
            process.wait()
    assert statuses == [202] * RECOVERIES + [429] * 10


def test_row_21_headers_given_twice_move_nothing_either(counting: Service) -> None:
    address = fresh_address()
    passed = 0
    for number in range(RECOVERIES + 10):
        path, body = a_recovery()
        twice = (f"X-Forwarded-For: 198.51.100.{number}", f"x-forwarded-for: 203.0.113.{number}, {PROXY}")
        passed += send(counting, post(path, json.dumps(body).encode(), *twice), address).status == 202
    assert passed == RECOVERIES


def test_row_21_the_password_limit_of_an_address_is_not_moved_by_a_header_either(counting: Service) -> None:
    with counting.client() as client:
        tries = [
            client.post("/login", json={"login": f"nobody-{number}", "password": "wrong 4711"}, headers=lies(number))
            for number in range(LOGINS + 5)
        ]
    assert [answer.status_code for answer in tries] == [401] * LOGINS + [429] * 5


def test_row_21_the_trusted_proxy_is_believed_and_the_last_untrusted_hop_is_the_client(counting: Service) -> None:
    with counting.client(PROXY) as proxy:
        # What the client wrote in front of the address that the proxy has seen changes nothing.
        mine = [forwarded(f"203.0.113.{number}", "192.0.2.1", *[PROXY] * (number % 3)) for number in range(40)]
        assert Counter(recoveries(proxy, mine)) == {202: RECOVERIES, 429: 10}
        # A port beside the address is not part of it, and another client has a share of its own.
        assert recoveries(proxy, [forwarded("192.0.2.1:4711")]) == [429]
        assert recoveries(proxy, [forwarded("192.0.2.1", "192.0.2.2")]) == [202]


def test_row_21_addresses_that_cannot_be_read_share_one_bucket(counting: Service) -> None:
    nonsense = [
        "unknown",
        "garbage",
        "192.0.2",
        "192.0.2.256",
        "0x7f000001",
        "2001:db8::g",
        "a b",
        "_hidden",
        "1.2.3.4.5",
        "-1",
    ]
    with counting.client(PROXY) as proxy:
        statuses = recoveries(proxy, [forwarded(word) for word in nonsense * 5])
        assert Counter(statuses) == {202: RECOVERIES, 429: 20}
        assert recoveries(proxy, [forwarded("x" * 4_000)]) == [429]


def test_row_22_sixty_addresses_of_one_64_share_a_bucket_and_a_48_has_five_times_as_much(counting: Service) -> None:
    with counting.client(PROXY) as proxy:
        first = recoveries(proxy, [forwarded(f"2001:db8:22:1::{number:x}") for number in range(60)])
        assert first == [202] * RECOVERIES + [429] * 30
        # The neighbours' share is not eaten up by what was refused at the first one's door.
        neighbours = [
            [forwarded(f"2001:db8:22:{net:x}:{number:x}::1") for number in range(RECOVERIES + 2)] for net in range(2, 6)
        ]
        passed = [Counter(recoveries(proxy, addresses))[202] for addresses in neighbours]
        assert passed == [RECOVERIES] * 4
        # The fifth share was the last one of the /48; another /48 is another site.
        assert recoveries(proxy, [forwarded(f"2001:db8:22:ff::{number:x}") for number in range(3)]) == [429] * 3
        assert recoveries(proxy, [forwarded("2001:db8:23::1")]) == [202]


def test_row_22_every_way_of_writing_an_address_is_that_address(counting: Service) -> None:
    four = ["192.0.2.22", "::ffff:192.0.2.22", "::FFFF:c000:216", "[::ffff:192.0.2.22]", "[::ffff:c000:216]:443"]
    six = ["2001:db8:24::1", "2001:0DB8:0024:0000:0000:0000:0000:0001", "[2001:db8:24::1]", "[2001:db8:24:0::1]:1234"]
    with counting.client(PROXY) as proxy:
        for spellings in (four, six):
            headers = [forwarded(spelling) for spelling in itertools.islice(itertools.cycle(spellings), 40)]
            assert recoveries(proxy, headers) == [202] * RECOVERIES + [429] * 10
