"""Who names a request: we do, or the proxy that we trust."""

from __future__ import annotations

import re

import pytest

from tests.support.service.fixtures import service_fixture
from tests.support.service.process import Service

A_NAME = "0123456789abcdef" * 2
PROXY = "127.0.0.1"


behind = service_fixture(TRUSTED_PROXIES=f"{PROXY}/32")


def _named(service: Service, address: str, name: str) -> str:
    with service.client(address) as client:
        headers = {"X-Request-Id": name, "X-Forwarded-For": "192.0.2.1"}
        answered: str = client.get("/health/live", headers=headers).headers["X-Request-Id"]
    assert re.fullmatch("[0-9a-f]{32}", answered)
    return answered


def test_the_trusted_proxy_names_a_request_and_a_stranger_does_not(behind: Service, service: Service) -> None:
    assert _named(behind, PROXY, A_NAME) == A_NAME
    # Neither one who says that the proxy has sent him, nor anybody where no proxy is trusted.
    assert _named(behind, "127.9.9.9", A_NAME) != A_NAME
    assert _named(service, PROXY, A_NAME) != A_NAME


@pytest.mark.parametrize("name", ["", A_NAME[1:], A_NAME.upper(), f"{A_NAME}0", "x" * 32, '"}{"level":"error","a":'])
def test_what_is_no_name_is_not_taken_even_from_the_proxy(name: str, behind: Service) -> None:
    assert _named(behind, PROXY, name) != name
