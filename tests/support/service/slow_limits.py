"""Limits as they are shipped, but filling again so slowly that not one comes back while a test runs."""

from __future__ import annotations

import itertools
from datetime import timedelta

import httpx

from tests.support.requests.burst import Call
from tests.support.service.process import AS_SHIPPED

PROXY = "127.0.0.1"
"""The one trusted proxy; every other address of the loopback network is a stranger to the service."""

RECOVERIES, LOGINS, REGISTRATIONS, STEPS, PASSWORDS = 30, 20, 30, 60, 10
COMES_BACK = timedelta(seconds=1200)
"""How long it takes until one recovery more is allowed."""

SLOWLY = {
    **AS_SHIPPED,
    "LIMIT_RECOVERIES": "30/36000",
    "LIMIT_LOGINS": "20/36000",
    "LIMIT_REGISTRATIONS": "30/36000,200/864000",
    "LIMIT_STEPS": "60/36000",
    "LIMIT_PASSWORDS": "10/36000",
    # Patient with a machine that others work on, too: an honest 503 would be no refusal of a limit.
    "REDIS_TIMEOUT": "2",
    "REDIS_CONNECT_TIMEOUT": "2",
    "DATABASE_TIMEOUT": "5",
    "HASH_QUEUE_TIMEOUT": "10",
}

_numbers = itertools.count(1)


def a_recovery() -> Call:
    """A start that costs no hash and mails nobody: the address has no account."""
    return "/recover", {"email": f"nobody-{next(_numbers)}@example.net"}


def recoveries(client: httpx.Client, headers: list[dict[str, str]]) -> list[int]:
    """The statuses of one recovery with each of the headers."""
    return [client.post("/recover", json=a_recovery()[1], headers=one).status_code for one in headers]


def forwarded(*hops: str) -> dict[str, str]:
    return {"X-Forwarded-For": ", ".join(hops)}
