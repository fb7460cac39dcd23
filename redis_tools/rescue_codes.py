"""Rescue codes: 128 bits in a mail that was sent under attack; Valkey has their SHA-256 alone."""

from __future__ import annotations

from typing import Any

from redis_tools.command import Command, ignore

RESCUE_TTL = 7_200
"""Seconds. Longer than the hour in which a mail bucket gets one token back: whenever a mail is refused because the
bucket is empty, an older mail with a valid rescue code is in the owner's mailbox (threats.md, section 2.4)."""


def _key(digest: str) -> str:
    return f"rescue:{digest}"


def save_rescue_code(digest: str, purpose: str, subject: str) -> Command[None]:
    """Let a rescue code open flows of one address and purpose for two hours."""
    return Command(("SET", _key(digest), f"{purpose}:{subject}", "EX", RESCUE_TTL), ignore)


def find_rescue_code(digest: str, purpose: str) -> Command[str]:
    """Return the subject whose flows of this purpose a rescue code opens; empty for none."""

    def read(answer: Any) -> str:
        its_purpose, _, subject = answer.decode().partition(":") if answer else ("", "", "")
        return subject if its_purpose == purpose else ""

    return Command(("GET", _key(digest)), read)


def delete_rescue_code(digest: str) -> Command[None]:
    """Delete a rescue code that was used; PostgreSQL knows that it was."""
    return Command(("DEL", _key(digest)), ignore)
