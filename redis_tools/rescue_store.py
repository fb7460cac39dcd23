"""Rescue codes: 128 bits in a mail that was sent under pressure, known here by their SHA-256 alone."""

from __future__ import annotations

from typing import Any

from redis_tools.pipeline import Call, nothing

RESCUE_TTL = 7_200
"""Seconds. Longer than the hour in which a mail bucket gives one back: whenever a mail is refused for want of one,
an older mail with a living rescue code lies in the owner's mailbox (security.md, section 2.4)."""


def _key(digest: str) -> str:
    return f"rescue:{digest}"


def keep_rescue(digest: str, purpose: str, subject: str) -> Call[None]:
    """Let a rescue code open flows of one address and purpose for two hours."""
    return Call(("SET", _key(digest), f"{purpose}:{subject}", "EX", RESCUE_TTL), nothing)


def find_rescue(digest: str, purpose: str) -> Call[str]:
    """Whose flows a rescue code opens at this purpose; empty for nobody's."""

    def read(answer: Any) -> str:
        kept, _, subject = answer.decode().partition(":") if answer else ("", "", "")
        return subject if kept == purpose else ""

    return Call(("GET", _key(digest)), read)


def drop_rescue(digest: str) -> Call[None]:
    """Forget a rescue code that was used; that it was is written in PostgreSQL."""
    return Call(("DEL", _key(digest)), nothing)
