"""Masks: enough of an address to recognise one's own, too little to find somebody by it."""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import IPv4Network, ip_network

from models.context.client import Network

_IPV4_BITS = 24
_IPV6_BITS = 48
"""What is left of a client's address: the neighbourhood, as the usual anonymisation of access logs leaves it."""


def masked_name(identifier: str) -> str:
    """A login or an e-mail address: its first letter, and the domain if there is one."""
    local, at, domain = identifier.rpartition("@")
    return f"{(local if at else domain)[:1]}***{at}{domain if at else ''}"


def masked_network(networks: Sequence[Network]) -> str:
    """Where a caller comes from: ``203.0.113.0/24``, ``2001:db8::/48``, or what `networks_of` says of nonsense."""
    name = networks[0].name
    try:
        network = ip_network(name)
    except ValueError:
        return name
    bits = _IPV4_BITS if isinstance(network, IPv4Network) else _IPV6_BITS
    return str(network.supernet(new_prefix=bits))
