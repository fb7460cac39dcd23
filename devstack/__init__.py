"""Real PostgreSQL, Valkey and SMTP servers without Docker, for `make run`, tests and bench."""

from __future__ import annotations
