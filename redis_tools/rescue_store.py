"""Rescue codes: 128 bits in a mail that was sent under pressure, known here by their SHA-256 alone."""

from __future__ import annotations

from typing import Any

from redis_tools.pipeline import Command, ignore

RESCUE_TTL = 7_200
"""Seconds. Longer than the hour in which a mail bucket gives one back: whenever a mail is refused for want of one,
an older mail with a living rescue code lies in the owner's mailbox (security.md, section 2.4)."""


def _key(digest: str) -> str:
    return f"rescue:{digest}"


def save_rescue_code(digest: str, purpose: str, subject: str) -> Command[None]:
    """Let a rescue code open flows of one address and purpose for two hours."""
    return Command(("SET", _key(digest), f"{purpose}:{subject}", "EX", RESCUE_TTL), ignore)


def find_rescue_code(digest: str, purpose: str) -> Command[str]:
    """Whose flows a rescue code opens at this purpose; empty for nobody's."""

    def read(answer: Any) -> str:
        kept, _, subject = answer.decode().partition(":") if answer else ("", "", "")
        return subject if kept == purpose else ""

    return Command(("GET", _key(digest)), read)


def delete_rescue_code(digest: str) -> Command[None]:
    """Forget a rescue code that was used; that it was is written in PostgreSQL."""
    return Command(("DEL", _key(digest)), ignore)
