"""Limits the mails to one address: a flood of starts must not become a flood of mail."""

from __future__ import annotations

from dataclasses import dataclass

from models.values.rate import Rate
from redis_tools.token_bucket import Bucket


@dataclass(frozen=True, slots=True)
class MailLimits:
    """A bucket for each address and purpose, and one more for each of its known devices."""

    unknown_devices: Rate
    known_devices: Rate

    def bucket(self, purpose: str, subject: str, device: str) -> Bucket:
        """Return the bucket that a flow's mails are charged to, and refunded to when the flow succeeds."""
        name = f"mail:{purpose}:{{{subject}}}"
        return Bucket(f"{name}:{device}", self.known_devices) if device else Bucket(name, self.unknown_devices)
