"""The socket that a process serves on, and how it is closed without losing a request."""

from __future__ import annotations

import logging
import socket
import sys

log = logging.getLogger(__name__)

_MIN_HOPS = {
    socket.AF_INET: ((socket.IPPROTO_IP, 21),),
    # A socket for :: takes IPv4 connections, too, and these obey the option of IPv4.
    socket.AF_INET6: ((socket.IPPROTO_IPV6, 73), (socket.IPPROTO_IP, 21)),
}
"""IP_MINTTL and IPV6_MINHOPCOUNT of Linux: packets with fewer hops left are dropped. Python has no names for them."""

_MAX_HOPS = 255
"""More than any client has left: Linux, BSD and macOS send with 64 hops, Windows with 128."""


def listen(host: str, port: int) -> socket.socket:
    """Return a listening socket of this process alone: on a shared one, a burst lands on a single worker."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    listener.bind((host, port))
    return listener


def stop_accepting(listener: socket.socket) -> bool:
    """Refuse new connections while those that are complete can still be accepted; return whether the kernel can.

    A connection that is complete but not accepted is cut off when its listening socket is closed, perhaps with a
    request on the way; a proxy must not repeat a POST that a process may have read. A client that cannot connect goes
    to another process.

    The minimum of hops drops the packets that ask for a connection, and not those that complete one: the kernel keeps
    these connections apart from the listening socket. The option exists against packets from far away (RFC 5082), and
    needs no privileges. Other systems, and sandboxes that imitate Linux, lack it; there, and for a client that sends
    with 255 hops from the same network, a stop is like that of any other server.
    """
    if sys.platform != "linux":
        return False
    try:
        _require_hops(listener, _MAX_HOPS)
    except OSError as error:
        log.warning("connections made at this moment may be cut off, this kernel cannot refuse new ones: %s", error)
        return False
    return True


def drain_connection(connection: socket.socket) -> None:
    """Receive packets of a connection again: one that was completed after `stop_accepting` has inherited the minimum.

    The client repeats what was dropped, some 0.2 s and two round trips after it sent it (RFC 6298, with the minimum of
    Linux).
    """
    _require_hops(connection, 0)


def _require_hops(which: socket.socket, hops: int) -> None:
    for level, option in _MIN_HOPS[which.family]:
        which.setsockopt(level, option, hops)
