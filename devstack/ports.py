"""Ports on 127.0.0.1: which are free, which are taken."""

from __future__ import annotations

import os
import socket
from itertools import count

# Below the range from which Linux takes the near end of outgoing connections (32768 and up): when a stopped server
# starts again, its port is still free.
_RANGE = range(20000, 32000)
# Processes that start at the same time begin at different places, and none gets the same port twice.
_CANDIDATES = (_RANGE[(os.getpid() * 97 + number * 1009) % len(_RANGE)] for number in count())


def free_port() -> int:
    """Choose a port without a listener."""
    return next(filter(is_free, _CANDIDATES))


def is_free(port: int) -> bool:
    """Return whether a server could listen on the port now."""
    with socket.socket() as probe:
        # A server that asks for it, as all of ours do, gets a port whose last connections are still in TIME_WAIT.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
            probe.listen(1)
        except OSError:
            return False
    return True
