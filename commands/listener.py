"""The socket that a process serves on, and how it is closed without a request being lost."""

from __future__ import annotations

import ctypes
import socket
import struct
import sys

_SO_ATTACH_FILTER = 26
"""Linux's, from asm-generic/socket.h; Python has no name for it."""

_NO_NEW_CONNECTIONS = (
    (0x30, 0, 0, 13),  # the byte of the TCP header that holds the flags
    (0x45, 0, 1, 0x02),  # is SYN among them?
    (0x06, 0, 0, 0),  # then the packet is dropped
    (0x06, 0, 0, 0xFFFFFFFF),  # any other is let through
)
"""A filter in classic BPF: code, jumps if true and if false, operand."""


def listen(host: str, port: int) -> socket.socket:
    """A listening socket of this process's own: with one shared by all, a burst lands on a single worker."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    listener.bind((host, port))
    return listener


def turn_away(listener: socket.socket) -> None:
    """Let nobody connect any more, while whoever has connected can still be accepted.

    Whoever is connected and not accepted when a listening socket is closed is cut off, perhaps with a request on the
    way, and a proxy must not send a POST again that somebody may have read. Who is not let in goes elsewhere.

    Elsewhere than on Linux there is no such filter, and a stop is as it is with any server. Some kernels let root alone
    set one (6.18 does): then the queue is made as short as can be, and one who is in it at the very end may be cut.
    """
    if sys.platform != "linux":
        return
    program = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *line) for line in _NO_NEW_CONNECTIONS))
    described = struct.pack("HP", len(_NO_NEW_CONNECTIONS), ctypes.addressof(program))
    try:
        listener.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, described)
    except PermissionError:
        listener.listen(0)
