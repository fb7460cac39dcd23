"""Who calls, as far as that can be known: a network address, and the cards of a device."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address, ip_network
from typing import Generic, TypeVar

from models.responses.common import Answer

SHARED_BY = 5
"""An IPv6 /48, one site of many /64s, may do five times as much as each of them (security.md, section 4)."""

_AnswerType = TypeVar("_AnswerType", bound=Answer | None)


@dataclass(frozen=True, slots=True)
class Network:
    """Addresses that count as one caller, and how many callers' share they have."""

    name: str
    share: int = 1


NOWHERE = (Network("unknown"),)
"""An address that cannot be read: all of them share one bucket, so that no nonsense in a header is a way around."""


def networks_of(address: str | None) -> tuple[Network, ...]:
    """The networks whose limits a caller at this address meets.

    One IPv4 address is one caller. One IPv6 subscriber has a whole /64 to call from, and a site a /48.
    """
    try:
        ip = ip_address((address or "").partition("%")[0])
    except ValueError:
        return NOWHERE
    if isinstance(ip, IPv6Address):
        if ip.ipv4_mapped is None:
            return tuple(
                Network(str(ip_network((ip, bits), strict=False)), share) for bits, share in ((64, 1), (48, SHARED_BY))
            )
        ip = ip.ipv4_mapped
    return (Network(str(ip)),)


@dataclass(frozen=True, slots=True)
class ClientInfo:
    """Whoever sent a request."""

    networks: tuple[Network, ...]
    device_tokens: str = ""
    """What the device was given by the flows that it has finished; see `backend/protection/known_devices.py`."""
    user_agent: str = ""
    """What the program says that it is; for the list of the owner's sessions, believed by nobody."""
    uses_header: bool = False
    """Whether the device keeps its cards itself and sends them as ``X-Device``; a browser has a cookie for them."""


@dataclass(frozen=True, slots=True)
class FlowResult(Generic[_AnswerType]):
    """The answer to the last step of a flow, and the cards by which the device is known from now on."""

    answer: _AnswerType
    device_tokens: str
    device_ttl: int
    """Seconds that the device stays known."""
