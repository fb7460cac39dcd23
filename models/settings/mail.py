"""The settings of mail: the sender, the SMTP servers, and when mail is sent."""

from __future__ import annotations

import re
from email.utils import parseaddr
from pathlib import Path
from typing import Annotated
from urllib.parse import parse_qs

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import NoDecode

from models.settings.base import Group
from models.settings.notations import is_host, split, split_url


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
    backlog: int = Field(1000, ge=1, description="New flows get 503 while more code mails than this are waiting.")
    backlog_age: int = Field(
        300, ge=1, description="New flows get 503 while the oldest code mail has waited for longer than this."
    )

    @field_validator("from_")
    @classmethod
    def _is_sender(cls, sender: str) -> str:
        if not re.fullmatch(r"[!-?A-~]{1,64}@[A-Za-z0-9.-]{1,255}", parseaddr(sender)[1]):
            raise ValueError("must be a sender such as Example <auth@example.com>")
        return sender
