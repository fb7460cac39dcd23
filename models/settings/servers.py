"""The settings of the servers that the service uses: PostgreSQL and Valkey."""

from __future__ import annotations

from urllib.parse import parse_qs

from pydantic import Field, SecretStr, field_validator

from models.settings.base import Group
from models.settings.notations import split_url

_SSL_MODES = frozenset({"disable", "allow", "prefer", "require", "verify-ca", "verify-full"})
"""The modes of libpq, which asyncpg has, too."""

_REDIS_OPTIONS = frozenset({"db", "ssl_ca_certs", "ssl_ca_path", "ssl_certfile", "ssl_keyfile", "ssl_cert_reqs"})
"""Options of a URL; the others are settings of their own."""


class DatabaseSettings(Group):
    """PostgreSQL."""

    url: SecretStr = Field(
        description="PostgreSQL, as `postgresql://user:password@host:5432/database`, perhaps with `?sslmode=require`."
    )
    pool_size: int = Field(10, ge=1, le=200, description="Connections kept open by each process.")
    pool_overflow: int = Field(5, ge=0, le=200, description="Further connections that each process opens under load.")
    timeout: float = Field(1.5, gt=0, le=5, description="Longest transaction, including the wait for a connection.")

    @field_validator("url")
    @classmethod
    def _is_postgresql(cls, url: SecretStr) -> SecretStr:
        parts = split_url(url, "postgresql", "postgres", "postgresql+asyncpg")
        options = parse_qs(parts.query, keep_blank_values=True)
        if options.keys() - {"sslmode"}:
            raise ValueError("may have the parameter ?sslmode=… and no other")
        if not _SSL_MODES.issuperset(options.get("sslmode", ())):
            raise ValueError("sslmode must be disable, allow, prefer, require, verify-ca or verify-full")
        return url


class RedisSettings(Group):
    """Valkey or Redis."""

    url: SecretStr = Field(description="Valkey or Redis, as `redis://host:6379/0` (or `rediss://`, `unix://`).")
    # Short enough to answer 503 within two seconds when Valkey is away; with a much shorter one, a process that is
    # busy with a burst would take Valkey to be away.
    timeout: float = Field(0.9, gt=0, le=2, description="Longest wait for an answer and for a connection together.")
    connect_timeout: float = Field(0.6, gt=0, le=2, description="Longest wait for a new connection.")
    pool_size: int = Field(16, ge=1, le=1000, description="Connections kept open by each process.")

    @field_validator("url")
    @classmethod
    def _is_redis(cls, url: SecretStr) -> SecretStr:
        options = parse_qs(split_url(url, "redis", "rediss", "unix").query, keep_blank_values=True)
        if options.keys() - _REDIS_OPTIONS:
            raise ValueError(f"may have no other parameters than {', '.join(sorted(_REDIS_OPTIONS))}")
        return url
