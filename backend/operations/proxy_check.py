"""Notices when all clients seem to be one: then their limits are one, and the first busy hour locks everybody out."""

from __future__ import annotations

import logging
from ipaddress import ip_address

log = logging.getLogger(__name__)

_ENOUGH = 500
"""Requests after which one address for all of them is no chance any more."""


class SingleClientWarning:
    """Looks at client addresses until it knows enough."""

    def __init__(self) -> None:
        self._only = ""
        self._seen = 0
        self._knows = False

    def observe(self, address: str) -> None:
        """One more request; warns once, when so many came from one private address that it must be a proxy's."""
        if self._knows:
            return
        if address != self._only:
            try:
                ip = ip_address(address)
            except ValueError:
                return  # what a proxy passes on may be no address
            if ip.is_loopback:
                return  # a health check of this machine says nothing of clients
            self._knows = bool(self._only) or not ip.is_private
            self._only = address
        self._seen += 1
        if self._seen == _ENOUGH and not self._knows:
            self._knows = True
            log.warning(
                "every client has the address %s: limits count all of them as one. Name your proxies in "
                "TRUSTED_PROXIES, so that they may tell who calls",
                address,
            )
