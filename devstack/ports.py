"""Ports on 127.0.0.1: which are free, which are taken."""

import os
import random
import socket

from devstack.processes import DevstackError

PORTS = range(1, 65_536)

# Below the range from which Linux takes the near end of outgoing connections (32768 and up): a stopped server finds its
# port still free when it comes back.
OUT_OF_THE_WAY = range(20000, 32000)
# The first ports that a process tries are its own, so that processes starting together do not choose the same.
A_PROCESS = 12

_given: set[int] = set()


def free_port() -> int:
    """Choose a port that nobody listens on; this process never gets the same one twice."""
    first = OUT_OF_THE_WAY.start + os.getpid() * A_PROCESS % len(OUT_OF_THE_WAY)
    candidates: list[int] = [*range(first, first + A_PROCESS), *random.sample(OUT_OF_THE_WAY, 1000)]
    for port in candidates:
        if port not in _given and is_free(port):
            _given.add(port)
            return port
    raise DevstackError(f"No free port was found on 127.0.0.1 from {OUT_OF_THE_WAY.start} to {OUT_OF_THE_WAY.stop}.")


def is_free(port: int) -> bool:
    """Tell whether a server could listen on the port now."""
    with socket.socket() as probe:
        # A port whose last connections are still fading away is free for a server that asks so, as all of ours do.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
            probe.listen(1)
        except OSError:
            return False
    return True
