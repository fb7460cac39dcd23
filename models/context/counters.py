"""The counters of the service."""

from __future__ import annotations

from enum import StrEnum


class Counter(StrEnum):
    """A counter; backend/operations/metrics.py has its description and labels."""

    REQUESTS = "requests"
    HASHES = "hashes"
    HASHES_REFUSED = "hashes_refused"
    HASH_SECONDS = "hash_seconds"
    HASH_WAIT_SECONDS = "hash_wait_seconds"
    MAILS = "mails"
