"""The name of the request that is being answered: log lines carry it, and so do mails on their way to the worker."""

from __future__ import annotations

from contextvars import ContextVar

request_id: ContextVar[str | None] = ContextVar("request_id", default=None)
