"""Masks addresses: their users recognise a masked address, and other people cannot identify a user by it."""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import IPv4Network, ip_network

from models.context.client import Network

_IPV4_BITS = 24
_IPV6_BITS = 48
"""Bits that are kept of a client's address, as usual in anonymised access logs."""


def masked_name(identifier: str) -> str:
    """Return the first letter of a login or e-mail address, and the domain if there is one."""
    local, at, domain = identifier.rpartition("@")
    return f"{(local if at else domain)[:1]}***{at}{domain if at else ''}"


def masked_network(networks: Sequence[Network]) -> str:
    """Return the client's masked network: ``203.0.113.0/24``, ``2001:db8::/48``, or ``unknown``."""
    name = networks[0].name
    try:
        network = ip_network(name)
    except ValueError:
        return name
    bits = _IPV4_BITS if isinstance(network, IPv4Network) else _IPV6_BITS
    return str(network.supernet(new_prefix=bits))
