"""``python -m tests.support.service.forked_randomness``: fork a process eight times; each copy prints what it draws."""

from __future__ import annotations

import multiprocessing
import random
import secrets

from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from uuid_utils.compat import uuid4, uuid7

COPIES = 8
A_PROCESS = 205


def drawn_part(uuid: int) -> int:
    """What of a UUIDv7 is drawn; before it stands the time."""
    return uuid & (2**62 - 1)


def _tell() -> None:
    lots = [
        *(drawn_part(uuid7().int) for _ in range(50)),
        *(uuid4().int for _ in range(50)),
        *(secrets.randbits(128) for _ in range(50)),
        *(random.getrandbits(128) for _ in range(50)),
        *(generate_private_key(SECP256R1()).private_numbers().private_value for _ in range(5)),
    ]
    print(*lots, sep="\n", flush=True)  # noqa: T201  the test reads it


if __name__ == "__main__":
    _tell()
    for _ in range(COPIES):
        copy = multiprocessing.get_context("fork").Process(target=_tell)
        copy.start()
        copy.join()
