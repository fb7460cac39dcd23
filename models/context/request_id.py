"""The id of the request that is being answered: log lines carry it, and so do the jobs of its mails."""

from __future__ import annotations

from contextvars import ContextVar

request_id: ContextVar[str | None] = ContextVar("request_id", default=None)
