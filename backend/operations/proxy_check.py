"""Warns when all clients share one address: then they share one limit, and the first busy hour locks all users out."""

from __future__ import annotations

import logging
from ipaddress import ip_address

log = logging.getLogger(__name__)

_ENOUGH = 500
"""Requests after which one address for all of them is no longer chance."""


class SingleClientWarning:
    """Watches client addresses until they differ, or until it has warned."""

    def __init__(self) -> None:
        self._only = ""
        self._seen = 0
        self._is_done = False

    def observe(self, address: str) -> None:
        """Count one more request; warn once, when so many came from one private address that it must be a proxy's."""
        if self._is_done:
            return
        if address != self._only:
            try:
                ip = ip_address(address)
            except ValueError:
                return  # a proxy may pass on a text that is no address
            if ip.is_loopback:
                return  # a health check of this machine says nothing of clients
            self._is_done = bool(self._only) or not ip.is_private
            self._only = address
        self._seen += 1
        if self._seen == _ENOUGH and not self._is_done:
            self._is_done = True
            log.warning(
                "every client has the address %s: limits count all of them as one. Name your proxies in "
                "TRUSTED_PROXIES, so that the client addresses they report are believed",
                address,
            )
