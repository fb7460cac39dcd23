"""The socket that a process serves on, and how it is closed without a request being lost."""

from __future__ import annotations

import logging
import socket
import sys

log = logging.getLogger(__name__)

_LEAST_HOPS = {
    socket.AF_INET: ((socket.IPPROTO_IP, 21),),
    # A socket for ::, too, takes IPv4 connections, and these mind the option of IPv4.
    socket.AF_INET6: ((socket.IPPROTO_IPV6, 73), (socket.IPPROTO_IP, 21)),
}
"""IP_MINTTL and IPV6_MINHOPCOUNT of Linux: packets with fewer hops to go are dropped. Python has no names for them."""

_MORE_THAN_ANYBODY_HAS = 255
"""Linux, BSD and macOS send with 64 hops, Windows with 128."""


def listen(host: str, port: int) -> socket.socket:
    """A listening socket of this process's own: with one shared by all, a burst lands on a single worker."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    listener.bind((host, port))
    return listener


def stop_accepting(listener: socket.socket) -> bool:
    """Let nobody connect any more, while whoever has connected can still be accepted; tell whether that can be done.

    Whoever is connected and not accepted when a listening socket is closed is cut off, perhaps with a request on the
    way, and a proxy must not send a POST again that somebody may have read. Who is not let in goes elsewhere.

    The listening socket is made deaf: it drops what asks for a connection, and not what completes one, for that is
    kept in a place of its own. The option was made to keep out what comes from afar (RFC 5082), and needs no rights.
    Elsewhere than on Linux, and in sandboxes that play Linux, there is no such thing, and a stop is as it is with any
    server; so it is for a caller next door that sends with 255 hops.
    """
    if sys.platform != "linux":
        return False
    try:
        _hear_from(listener, _MORE_THAN_ANYBODY_HAS)
    except OSError as error:
        log.warning("whoever connects just now may be cut off, this kernel cannot turn anybody away: %s", error)
        return False
    return True


def hear_out(connection: socket.socket) -> None:
    """Listen to a connection that may have been completed after `turn_away`: it has inherited the deafness.

    What it has not heard until now is sent once more, some 0.2 s and two round trips after it was sent (RFC 6298, with
    the least of Linux).
    """
    _hear_from(connection, 0)


def _hear_from(which: socket.socket, hops: int) -> None:
    for level, option in _LEAST_HOPS[which.family]:
        which.setsockopt(level, option, hops)
