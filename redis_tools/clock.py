"""The head of every script that looks at the time."""

from __future__ import annotations

CLOCK = """
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
"""
"""``now`` in milliseconds, by the server: no clock of ours decides about a code or a limit."""
