"""The client of a request: its networks, and the tokens of its device."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address, ip_network
from typing import Generic, TypeVar

from models.responses.common import Answer

SITE_SHARE = 5
"""An IPv6 /48, one site of many /64s, may do five times as much as each of them (threats.md, section 4)."""

_AnswerType = TypeVar("_AnswerType", bound=Answer | None)


@dataclass(frozen=True, slots=True)
class Network:
    """Addresses that count as one client, and how many clients' share they have."""

    name: str
    share: int = 1


UNKNOWN_NETWORK = (Network("unknown"),)
"""The network of all addresses that cannot be parsed: a nonsense header must not evade the limits."""


def client_networks(address: str | None) -> tuple[Network, ...]:
    """Return the networks whose limits apply to a client at this address.

    One IPv4 address is one client. An IPv6 subscriber has a whole /64, and a site a /48.
    """
    try:
        ip = ip_address((address or "").partition("%")[0])
    except ValueError:
        return UNKNOWN_NETWORK
    if isinstance(ip, IPv6Address):
        if ip.ipv4_mapped is None:
            return tuple(
                Network(str(ip_network((ip, bits), strict=False)), share) for bits, share in ((64, 1), (48, SITE_SHARE))
            )
        ip = ip.ipv4_mapped
    return (Network(str(ip)),)


@dataclass(frozen=True, slots=True)
class ClientInfo:
    """The client that sent a request."""

    networks: tuple[Network, ...]
    device_tokens: str = ""
    """The tokens that the device got from finished flows; see `backend/protection/known_devices.py`."""
    user_agent: str = ""
    """The `User-Agent` header, shown in the user's list of sessions; nothing else relies on it."""
    uses_header: bool = False
    """Whether the client sends the tokens as ``X-Device``, as apps do; a browser sends a cookie."""


@dataclass(frozen=True, slots=True)
class FlowResult(Generic[_AnswerType]):
    """The answer to the last step of a flow, and the device's tokens from now on."""

    answer: _AnswerType
    device_tokens: str
    device_ttl: int
    """Seconds that the device stays known."""
