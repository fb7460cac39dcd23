"""The limit of the machine: hashes per second, with the library and the parameters that the service uses.

``python -m bench.ceiling ITERATIONS SECONDS``
"""

from __future__ import annotations

import os
import sys
import time
from concurrent.futures import ThreadPoolExecutor

from backend.passwords.hasher import hash_password


def hashes_per_second(iterations: int, seconds: float) -> float:
    """Hash on every core, and return the hashes per second."""
    threads = os.cpu_count() or 1
    began = time.perf_counter()
    end = began + seconds

    def hash_until_the_end(_: int) -> int:
        done = 0
        while time.perf_counter() < end:
            hash_password("correct horse battery", iterations)
            done += 1
        return done

    with ThreadPoolExecutor(threads) as pool:
        done = sum(pool.map(hash_until_the_end, range(threads)))
    return done / (time.perf_counter() - began)


if __name__ == "__main__":
    print(hashes_per_second(int(sys.argv[1]), float(sys.argv[2])))
