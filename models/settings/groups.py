"""The settings in their groups, each with its meaning, its default and its bounds. Durations are seconds."""

from __future__ import annotations

import re
from collections.abc import Sequence
from email.utils import parseaddr
from pathlib import Path
from typing import Annotated, Literal, Self
from urllib.parse import parse_qs

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, SecretStr, field_validator, model_validator
from pydantic_settings import NoDecode

from models.settings.notations import Caps, Digits, Guesses, OneRate, Rates, is_host, readable, split, whole
from models.values.ladder import TOP, Budget, Rung, takeover_bound
from models.values.rate import Rate

LONGEST_WAIT_FOR_MAIL = 5_400
"""Seconds, half an hour less than a rescue code lives: whoever is refused a mail has an older one that leads in."""

TEN_YEARS = 315_360_000
"""Seconds; whoever means "for ever" means less."""

LONGEST_TOKEN = 3600
"""Seconds that an access token may live at most, whatever TOKEN_TTL was when it was made."""

PBKDF2_FLOOR = 600_000
"""OWASP Password Storage Cheat Sheet (2023): the least iterations for PBKDF2-HMAC-SHA256."""


_SSL_MODES = frozenset({"disable", "allow", "prefer", "require", "verify-ca", "verify-full"})
"""Of libpq, and so of asyncpg."""

_REDIS_OPTIONS = frozenset({"db", "ssl_ca_certs", "ssl_ca_path", "ssl_certfile", "ssl_keyfile", "ssl_cert_reqs"})
"""What a URL may say; the rest has settings of its own."""


class Group(BaseModel):
    """Settings that belong together: the name of the group is the beginning of theirs."""

    # Container platforms put variables of their own into the environment (REDIS_PORT=tcp://…): foreign names
    # that happen to share a prefix are not ours to refuse.
    model_config = ConfigDict(frozen=True, extra="ignore")


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
        parts = readable(url, "postgresql", "postgres", "postgresql+asyncpg")
        options = parse_qs(parts.query, keep_blank_values=True)
        if options.keys() - {"sslmode"}:
            raise ValueError("may end in ?sslmode=… and in no other parameter")
        if not _SSL_MODES.issuperset(options.get("sslmode", ())):
            raise ValueError("sslmode must be disable, allow, prefer, require, verify-ca or verify-full")
        return url


class RedisSettings(Group):
    """Valkey or Redis."""

    url: SecretStr = Field(description="Valkey or Redis, as `redis://host:6379/0` (or `rediss://`, `unix://`).")
    # Short enough to tell a caller within two seconds that Valkey is away; much shorter ones would take a process
    # that is busy with a burst of its own for a server that is gone.
    timeout: float = Field(0.9, gt=0, le=2, description="Longest wait for an answer, connection included.")
    connect_timeout: float = Field(0.6, gt=0, le=2, description="Longest wait for a new connection.")
    pool_size: int = Field(16, ge=1, le=1000, description="Connections kept open by each process.")

    @field_validator("url")
    @classmethod
    def _is_redis(cls, url: SecretStr) -> SecretStr:
        options = parse_qs(readable(url, "redis", "rediss", "unix").query, keep_blank_values=True)
        if options.keys() - _REDIS_OPTIONS:
            raise ValueError(f"may end in no other parameters than {', '.join(sorted(_REDIS_OPTIONS))}")
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
            parts = readable(url, "smtps", "smtp+starttls", "smtp")
            options = parse_qs(parts.query, keep_blank_values=True)
            if not is_host(parts.hostname) or parts.path.strip("/") or options.keys() - {"ca"}:
                raise ValueError("must name a host, and may end in ?ca=/a/file.pem and in nothing else")
            if not all(Path(file).is_file() for file in options.get("ca", ())):
                raise ValueError("the file that ?ca= names is not there")
        return urls


class MailSettings(Group):
    """The sender of mails, and when they are sent."""

    from_: str = Field(alias="from", min_length=3, description="Sender, as `Example <auth@example.com>`.")
    worker: bool = Field(default=True, description="Send mail from the serving process; off when `worker` runs apart.")
    backlog: int = Field(1000, ge=1, description="Waiting code mails above which new starts are refused with 503.")
    backlog_age: int = Field(300, ge=1, description="Age of the oldest waiting code mail above which they are.")

    @field_validator("from_")
    @classmethod
    def _is_sender(cls, sender: str) -> str:
        if not re.fullmatch(r"[!-?A-~]{1,64}@[A-Za-z0-9.-]{1,255}", parseaddr(sender)[1]):
            raise ValueError("must be a sender such as Example <auth@example.com>")
        return sender


class CodeSettings(Group):
    """One-time codes."""

    digits: Annotated[Digits, BeforeValidator(whole)] = Field(
        4, description="Least length of a code: 4, 6, 8 or 12; 6 is the strict profile (NIST SP 800-63B)."
    )
    ttl: int = Field(600, ge=1, le=600, description="Life of a code from its hand-over to SMTP (ASVS 6.5.5).")
    resend_after: int = Field(60, ge=0, le=600, description="Least time between two codes of one flow.")
    resends: int = Field(5, ge=0, le=20, description="Codes that a flow may ask for after its first.")


class FlowSettings(Group):
    """Registrations, log-ins and recoveries under way."""

    ttl: int = Field(1800, ge=1, le=7200, description="Life of a flow from its start.")


class RecoverSettings(Group):
    """Recovery."""

    code_digits: Annotated[Digits | None, BeforeValidator(whole)] = Field(
        None,
        description="Least length of a code at /recover, CODE_DIGITS when unset; 6 from 1,000 recoveries a day on.",
    )


class LadderSettings(Group):
    """Wrong guesses that one account and purpose may cost: at once / a year."""

    four: Guesses = Field(Budget(6, 2), alias="4", description="Guesses at 4 digits, from unknown devices.")
    six: Guesses = Field(Budget(30, 52), alias="6", description="Guesses at 6 digits.")
    eight: Guesses = Field(Budget(200, 1000), alias="8", description="Guesses at 8 digits; then a code has 12.")
    device: Guesses = Field(Budget(9, 12), description="Guesses at 4 digits, on each of two ladders for known devices.")

    def rungs(self, least: int, *, device: bool) -> tuple[Rung, ...]:
        """The ladder from a least length on, for unknown devices or for a known one."""
        first = self.device if device else self.four
        rungs = (Rung(4, first), Rung(6, self.six), Rung(8, self.eight), Rung(TOP, None))
        return tuple(rung for rung in rungs if rung.digits >= least)

    def takeover_bound(self, least: int, mails: Rate, *, device: bool) -> float:
        """What a year of guessing can win against one account and purpose (`models.values.ladder.takeover_bound`)."""
        mails_a_year = mails.count + 365 * 86_400 * mails.count / mails.seconds
        return takeover_bound(self.rungs(least, device=device), mails_a_year)


class ThermostatSettings(Group):
    """Wrong guesses of a whole purpose a day, by unknown devices, after which its codes have 6, 8 and 12 digits."""

    login: Caps = Field((100, 500, 5000), description="At /login, where the password comes first.")
    recover: Caps = Field((20, 500, 5000), description="At /recover.")

    @field_validator("login", "recover", mode="before")
    @classmethod
    def _are_three(cls, caps: object) -> object:
        parts = split(caps)
        numbers = tuple(map(whole, parts)) if isinstance(parts, Sequence) else ()
        if len(numbers) != 3 or not all(isinstance(number, int) and number > 0 for number in numbers):  # noqa: PLR2004 - a floor each for 4, 6 and 8 digits
            raise ValueError("must be three numbers above 0, such as 20,500,5000")
        return numbers


class LimitSettings(Group):
    """How often is too often: count / seconds, several of them separated by commas."""

    registrations: Rates = Field(
        (Rate(30, 3600), Rate(200, 86_400)), description="Registrations begun by one client address."
    )
    recoveries: Rates = Field(
        (Rate(30, 3600), Rate(200, 86_400)),
        description="Recoveries, changes of address and deletions begun by one client address, each.",
    )
    logins: Rates = Field((Rate(20, 60),), description="Log-ins begun by one client address.")
    steps: Rates = Field((Rate(60, 60),), description="Further steps of any flow, codes among them, by one address.")
    wrong_passwords: Rates = Field((Rate(30, 900),), description="Wrong passwords from one client address.")
    passwords: Rates = Field(
        (Rate(10, 900),), description="Wrong passwords for one login or e-mail address, from unknown devices."
    )
    device_passwords: Rates = Field(
        (Rate(10, 900),), description="The same from each known device, and by one signed in."
    )
    refreshes: Rates = Field((Rate(60, 60),), description="Refresh tokens tried by one client address.")
    exports: Rates = Field((Rate(5, 3600),), description="Exports of one account, by its owner.")
    mails: OneRate = Field(Rate(5, 18_000), description="Mails to one address for one purpose: 5, then one an hour.")
    device_mails: OneRate = Field(Rate(5, 3000), description="The same for each known device.")

    @field_validator("mails", "device_mails")
    @classmethod
    def _come_before_rescue_codes_end(cls, rate: Rate) -> Rate:
        if rate.seconds / rate.count > LONGEST_WAIT_FOR_MAIL:
            raise ValueError("must give one back within 5400 seconds: a rescue code lives for 7200")
        return rate


class DeviceSettings(Group):
    """Known devices."""

    ttl: int = Field(7_776_000, ge=0, description="How long a device stays known after it has finished a flow.")


class HashSettings(Group):
    """Password hashing, PBKDF2-HMAC-SHA256."""

    iterations: int = Field(PBKDF2_FLOOR, ge=1, description="Iterations; fewer than 600,000 only in development.")
    threads: int = Field(
        2, ge=1, le=64, description="Low-priority threads a process; two suit any machine of 2+ cores."
    )
    queue_timeout: float = Field(
        2.0, gt=0, le=10, description="Expected wait for a hashing thread above which the request gets 503."
    )


class TokenSettings(Group):
    """Access tokens (RFC 9068)."""

    ttl: int = Field(600, ge=10, le=LONGEST_TOKEN, description="Life of an access token.")
    audience: str | None = Field(
        None, pattern=r"^\S+$", description="Audience of access tokens; the issuer when unset."
    )
    leeway: int = Field(30, ge=0, le=120, description="Clock difference tolerated in `exp`, `nbf` and `iat`.")


class SessionSettings(Group):
    """Sessions and their refresh tokens."""

    idle: int = Field(1_209_600, ge=60, le=TEN_YEARS, description="How long a session lives without being refreshed.")
    absolute: int = Field(2_592_000, ge=60, le=TEN_YEARS, description="How long it lives in all.")
    maximum: int = Field(
        10, alias="max", ge=1, le=1000, description="Sessions of one user; the oldest ends when one more begins."
    )


class RefreshSettings(Group):
    """Refresh tokens."""

    reuse_interval: int = Field(
        10, ge=0, le=60, description="How long a used refresh token gives the same successor again; 0 is strict."
    )


class AuditSettings(Group):
    """The audit log."""

    retention: int = Field(7_776_000, ge=86_400, le=TEN_YEARS, description="How long a line of the audit log is kept.")


class KeySettings(Group):
    """Signing keys."""

    algorithm: Literal["ES256", "EdDSA", "RS256"] = Field(
        "ES256", description="What the next key signs with; RSA keys have 3072 bits."
    )
    life: int = Field(2_592_000, ge=1, le=TEN_YEARS, description="How long a key signs before the next one does.")
    max_age: int = Field(300, ge=1, le=86_400, description="How long a verifier may keep the list of keys.")
    refresh_interval: int = Field(30, ge=1, le=300, description="How often each process looks for new keys.")

    @property
    def activation_delay(self) -> int:
        """Seconds that a key is published before it signs: by then every list that lacks it is out of date."""
        return self.max_age + 2 * self.refresh_interval

    @model_validator(mode="after")
    def _keys_do_not_overtake_each_other(self) -> Self:
        if self.life < 2 * self.activation_delay:
            least = 2 * self.activation_delay
            raise ValueError(
                f"KEY_LIFE must be at least {least}: twice KEY_MAX_AGE and four times KEY_REFRESH_INTERVAL"
            )
        return self
