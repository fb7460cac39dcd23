"""The settings of the servers that the service uses: PostgreSQL, Valkey, SMTP."""

from __future__ import annotations

import re
from email.utils import parseaddr
from pathlib import Path
from typing import Annotated
from urllib.parse import parse_qs

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import NoDecode

from models.settings.group import Group
from models.settings.notations import is_host, split, split_url

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
    pool_overflow: int = Field(5, ge=0, le=200, description="Connections opened above that under load.")
    timeout: float = Field(1.5, gt=0, le=5, description="Longest wait for one transaction, connection included.")

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
    timeout: float = Field(0.9, gt=0, le=2, description="Longest wait for an answer, connection included.")
    connect_timeout: float = Field(0.6, gt=0, le=2, description="Longest wait for a new connection.")
    pool_size: int = Field(16, ge=1, le=1000, description="Connections kept open by each process.")

    @field_validator("url")
    @classmethod
    def _is_redis(cls, url: SecretStr) -> SecretStr:
        options = parse_qs(split_url(url, "redis", "rediss", "unix").query, keep_blank_values=True)
        if options.keys() - _REDIS_OPTIONS:
            raise ValueError(f"may have no other parameters than {', '.join(sorted(_REDIS_OPTIONS))}")
        return url


class SmtpSettings(Group):
    """Outgoing mail servers."""

    url: Annotated[tuple[SecretStr, ...], NoDecode] = Field(
        min_length=1,
        description="SMTP servers in order of preference, separated by commas: `smtps://user:password@host:465`, "
        "`smtp+starttls://…:587`, or plain `smtp://` for loopback and private addresses.",
    )
    connections: int = Field(4, ge=1, le=50, description="SMTP connections kept open by each mail worker.")

    _split_urls = field_validator("url", mode="before")(split)

    @field_validator("url")
    @classmethod
    def _are_smtp(cls, urls: tuple[SecretStr, ...]) -> tuple[SecretStr, ...]:
        for url in urls:
            parts = split_url(url, "smtps", "smtp+starttls", "smtp")
            options = parse_qs(parts.query, keep_blank_values=True)
            if not is_host(parts.hostname) or parts.path.strip("/") or options.keys() - {"ca"}:
                raise ValueError("must name a host, and may have the parameter ?ca=/a/file.pem and no other")
            if not all(Path(file).is_file() for file in options.get("ca", ())):
                raise ValueError("the file that ?ca= names does not exist")
        return urls


class MailSettings(Group):
    """The sender of mails, and when they are sent."""

    from_: str = Field(alias="from", min_length=3, description="Sender, as `Example <auth@example.com>`.")
    worker: bool = Field(
        default=True, description="Send mail from the serving process; `false` when `worker` runs separately."
    )
    backlog: int = Field(1000, ge=1, description="Waiting code mails above which new flows are refused with 503.")
    backlog_age: int = Field(
        300, ge=1, description="Age of the oldest waiting code mail above which new flows are refused with 503."
    )

    @field_validator("from_")
    @classmethod
    def _is_sender(cls, sender: str) -> str:
        if not re.fullmatch(r"[!-?A-~]{1,64}@[A-Za-z0-9.-]{1,255}", parseaddr(sender)[1]):
            raise ValueError("must be a sender such as Example <auth@example.com>")
        return sender
