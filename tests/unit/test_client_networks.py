"""Which networks an address counts for."""

from __future__ import annotations

import pytest

from models.context.client import UNKNOWN_NETWORK, client_networks


def names(address: str | None) -> list[str]:
    return [network.name for network in client_networks(address)]


def test_an_ipv4_address_is_one_caller() -> None:
    assert names("203.0.113.7") == ["203.0.113.7"]


@pytest.mark.parametrize("address", ["::ffff:203.0.113.7", "::ffff:cb00:7107", "0:0:0:0:0:ffff:203.0.113.7"])
def test_an_ipv4_address_in_ipv6_clothes_is_the_same_caller(address: str) -> None:
    assert names(address) == ["203.0.113.7"]


def test_a_whole_ipv6_subnet_is_one_caller_and_a_site_has_five_shares() -> None:
    assert client_networks("2001:db8:1:2::1") == client_networks("2001:0DB8:0001:0002:ffff:ffff:ffff:ffff%eth0")
    assert [(network.name, network.share) for network in client_networks("2001:db8:1:2::1")] == [
        ("2001:db8:1:2::/64", 1),
        ("2001:db8:1::/48", 5),
    ]


@pytest.mark.parametrize("address", [None, "", "unknown", "_hidden", "1.2.3", "1.2.3.4.5", "01.2.3.4", "x" * 4096])
def test_what_is_no_address_shares_one_bucket(address: str | None) -> None:
    assert client_networks(address) == UNKNOWN_NETWORK
