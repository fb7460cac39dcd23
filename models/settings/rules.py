"""Groups of settings of what the service does, with the meaning, default and bounds of each. Durations are seconds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, Field, field_validator, model_validator

from models.settings.base import Group
from models.settings.notations import Caps, Digits, Guesses, OneRate, Rates, split, whole
from models.values.code_length_ladder import TOP, Budget, Rung, takeover_bound
from models.values.rate import Rate

MAX_WAIT_FOR_MAIL = 5_400
"""Seconds, half an hour less than a rescue code lives: a user who is refused a mail has a rescue code that works."""

TEN_YEARS = 315_360_000
"""Seconds; a larger number is probably a mistake."""

LONGEST_TOKEN = 3600
"""The longest life of an access token in seconds, whatever TOKEN_TTL was when it was issued."""

PBKDF2_FLOOR = 600_000
"""OWASP Password Storage Cheat Sheet (2023): the minimum of iterations for PBKDF2-HMAC-SHA256."""


class CodeSettings(Group):
    """One-time codes."""

    digits: Annotated[Digits, BeforeValidator(whole)] = Field(
        4, description="Minimum length of a code: 4, 6, 8 or 12; 6 is the strict profile (NIST SP 800-63B)."
    )
    ttl: int = Field(600, ge=1, le=600, description="Life of a code after SMTP has accepted the mail (ASVS 6.5.5).")
    resend_after: int = Field(60, ge=0, le=600, description="Minimum time between two codes of one flow.")
    resends: int = Field(5, ge=0, le=20, description="Further codes that a flow may request after the first.")


class FlowSettings(Group):
    """Registrations, log-ins, recoveries and other flows."""

    ttl: int = Field(1800, ge=1, le=7200, description="Life of a flow from its start.")


class RecoverSettings(Group):
    """Recovery."""

    code_digits: Annotated[Digits | None, BeforeValidator(whole)] = Field(
        None,
        description="Minimum length of a code at /recover, CODE_DIGITS when unset; use 6 above 1,000 recoveries a day.",
    )


class LadderSettings(Group):
    """Wrong guesses that one account and purpose allows: at once / a year."""

    four: Guesses = Field(Budget(6, 2), alias="4", description="Guesses at 4 digits, from unknown devices.")
    six: Guesses = Field(Budget(30, 52), alias="6", description="Guesses at 6 digits.")
    eight: Guesses = Field(Budget(200, 1000), alias="8", description="Guesses at 8 digits; after them a code has 12.")
    device: Guesses = Field(Budget(9, 12), description="Guesses at 4 digits, on each of two ladders for known devices.")

    def rungs(self, least: int, *, device: bool) -> tuple[Rung, ...]:
        """Return the ladder from a minimum length on, for unknown devices or for a known one."""
        first = self.device if device else self.four
        rungs = (Rung(4, first), Rung(6, self.six), Rung(8, self.eight), Rung(TOP, None))
        return tuple(rung for rung in rungs if rung.digits >= least)

    def takeover_bound(self, least: int, mails: Rate, *, device: bool) -> float:
        """Return the chance of a year of guessing against one account and purpose (see `takeover_bound`)."""
        mails_a_year = mails.count + 365 * 86_400 * mails.count / mails.seconds
        return takeover_bound(self.rungs(least, device=device), mails_a_year)


class ThermostatSettings(Group):
    """Wrong guesses a day by unknown devices, at all accounts, after which codes have 6, 8 and 12 digits."""

    login: Caps = Field((100, 500, 5000), description="Wrong guesses a day at /login until codes have 6, 8, 12 digits.")
    recover: Caps = Field((20, 500, 5000), description="The same at /recover.")

    @field_validator("login", "recover", mode="before")
    @classmethod
    def _are_three(cls, caps: object) -> object:
        parts = split(caps)
        numbers = tuple(map(whole, parts)) if isinstance(parts, Sequence) else ()
        if len(numbers) != 3 or not all(isinstance(number, int) and number > 0 for number in numbers):  # noqa: PLR2004 - a floor each for 4, 6 and 8 digits
            raise ValueError("must be three numbers above 0, such as 20,500,5000")
        return numbers


class LimitSettings(Group):
    """Rate limits: count / seconds, several rates separated by commas."""

    registrations: Rates = Field(
        (Rate(30, 3600), Rate(200, 86_400)), description="Registrations started by one client address."
    )
    recoveries: Rates = Field(
        (Rate(30, 3600), Rate(200, 86_400)),
        description="Recoveries, changes of address and deletions started by one client address, counted separately.",
    )
    logins: Rates = Field((Rate(20, 60),), description="Log-ins started by one client address.")
    steps: Rates = Field(
        (Rate(60, 60),), description="Further steps of any flow, including codes, by one client address."
    )
    wrong_passwords: Rates = Field((Rate(30, 900),), description="Wrong passwords from one client address.")
    passwords: Rates = Field(
        (Rate(10, 900),), description="Wrong passwords for one login or e-mail address, from unknown devices."
    )
    device_passwords: Rates = Field(
        (Rate(10, 900),), description="The same from each known device, and by a signed-in user."
    )
    refreshes: Rates = Field((Rate(60, 60),), description="Requests with a refresh token by one client address.")
    exports: Rates = Field((Rate(5, 3600),), description="Exports of one account by its user.")
    mails: OneRate = Field(Rate(5, 18_000), description="Mails to one address for one purpose: 5, then one an hour.")
    device_mails: OneRate = Field(Rate(5, 3000), description="The same for each known device.")

    @field_validator("mails", "device_mails")
    @classmethod
    def _come_before_rescue_codes_end(cls, rate: Rate) -> Rate:
        if rate.seconds / rate.count > MAX_WAIT_FOR_MAIL:
            raise ValueError("must allow another mail within 5400 seconds: a rescue code lives for 7200")
        return rate


class DeviceSettings(Group):
    """Known devices."""

    ttl: int = Field(7_776_000, ge=0, description="How long a device stays known after it has finished a flow.")


class HashSettings(Group):
    """Password hashing, PBKDF2-HMAC-SHA256."""

    iterations: int = Field(PBKDF2_FLOOR, ge=1, description="Iterations of a hash; below 600,000 only in development.")
    threads: int = Field(
        2, ge=1, le=64, description="Low-priority hashing threads of each process; two suit any machine of 2+ cores."
    )
    queue_timeout: float = Field(
        2.0, gt=0, le=10, description="A request that would wait longer than this for a hashing thread gets 503."
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
    absolute: int = Field(2_592_000, ge=60, le=TEN_YEARS, description="How long a session lives in total.")
    maximum: int = Field(
        10, alias="max", ge=1, le=1000, description="Maximum sessions of one user; a new one ends the oldest."
    )


class RefreshSettings(Group):
    """Refresh tokens."""

    reuse_interval: int = Field(
        10, ge=0, le=60, description="How long a used refresh token still returns the same successor; 0 is strict."
    )


class AuditSettings(Group):
    """The audit log."""

    retention: int = Field(7_776_000, ge=86_400, le=TEN_YEARS, description="How long a line of the audit log is kept.")


class KeySettings(Group):
    """Signing keys."""

    algorithm: Literal["ES256", "EdDSA", "RS256"] = Field(
        "ES256", description="Algorithm of the next key; RSA keys have 3072 bits."
    )
    life: int = Field(2_592_000, ge=1, le=TEN_YEARS, description="How long a key signs before the next one does.")
    max_age: int = Field(300, ge=1, le=86_400, description="How long other services may cache the list of keys.")
    refresh_interval: int = Field(30, ge=1, le=300, description="How often each process looks for new keys.")

    @property
    def activation_delay(self) -> int:
        """Seconds that a key is published before it signs: by then no service caches a list without it."""
        return self.max_age + 2 * self.refresh_interval

    @model_validator(mode="after")
    def _keys_do_not_overtake_each_other(self) -> Self:
        if self.life < 2 * self.activation_delay:
            least = 2 * self.activation_delay
            raise ValueError(
                f"KEY_LIFE must be at least {least}: twice KEY_MAX_AGE and four times KEY_REFRESH_INTERVAL"
            )
        return self
