"""Every setting of the service, grouped for reading; read once at the front door and handed down as values.

Names are flat in the environment: the field ``code.ttl`` is set by ``CODE_TTL``. Durations are seconds.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from email.utils import parseaddr
from ipaddress import ip_network
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeVar
from urllib.parse import SplitResult, parse_qs, urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic.fields import FieldInfo
from pydantic_settings import (
    BaseSettings,
    DotEnvSettingsSource,
    EnvSettingsSource,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from models.ladder import DEVICE_TAKEOVER_BOUND, TAKEOVER_BOUND, TOP, Budget, Rung, takeover_bound
from models.rate import Rate

LONGEST_WAIT_FOR_MAIL = 5_400
"""Seconds, half an hour less than a rescue code lives: whoever is refused a mail has an older one that leads in."""

TEN_YEARS = 315_360_000
"""Seconds; whoever means "for ever" means less."""

LONGEST_TOKEN = 3600
"""Seconds that an access token may live at most, whatever TOKEN_TTL was when it was made."""

PBKDF2_FLOOR = 600_000
"""OWASP Password Storage Cheat Sheet (2023): the least iterations for PBKDF2-HMAC-SHA256."""

SECRET_KEY_VARIETY = 10
"""Different characters that a random key of 32 has for certain; `changeme…` and `aaaa…` have fewer."""

SECRET_KEY_FLOOR = 32
"""Bytes; 256 bits, the output length of the HMAC and HKDF that the keys feed (RFC 2104 section 3)."""


class ConfigurationError(Exception):
    """The settings are missing, weak or contradictory; the text names each of them and shows no value."""


def _split(value: object) -> object:
    """Turn a comma-separated text into a list; anything else goes to the validator as it is."""
    return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value


def _written(parse: Callable[[str], object]) -> BeforeValidator:
    """Read what has a notation of its own, such as ``20/60``."""
    return BeforeValidator(lambda value: parse(value) if isinstance(value, str) else value)


def _readable(url: SecretStr, *schemes: str) -> SplitResult:
    """Take a server's URL apart; the refusal shows no part of it, for part of it is a password."""
    try:
        parts = urlsplit(url.get_secret_value())
        known = parts.scheme in schemes and (parts.port is None or parts.port > 0) and parts.netloc.count("@") <= 1
    except ValueError:
        known = False
    if not known:
        names = ", ".join(f"{scheme}://" for scheme in schemes)
        raise ValueError(
            f"must be an address such as {schemes[0]}://user:password@host (or {names}); inside a user name "
            "or password write / as %2F, @ as %40 and : as %3A"
        )
    return parts


def _networks(values: tuple[str, ...]) -> tuple[str, ...]:
    for value in values:
        try:
            ip_network(value)
        except ValueError:
            raise ValueError("must be IP addresses or networks, such as 10.0.0.0/8") from None
    return values


def _host_name(value: str | None) -> str | None:
    """Refuse what is no name: it goes into a certificate, into addresses, and into nginx's configuration."""
    label = "[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?"
    if value and (not re.fullmatch(rf"{label}(\.{label})*", value) or len(value) > 253):  # noqa: PLR2004 - RFC 1035
        raise ValueError("must be a name such as auth.example.com, in small letters, without https:// and port")
    return value


def _whole(value: object) -> object:
    return int(value) if isinstance(value, str) and value.isdecimal() else value


def _rates(value: object) -> object:
    """Read several rates, all of which hold."""
    return tuple(Rate.parse(part) for part in value.split(",")) if isinstance(value, str) else value


def _secrets_by_name(value: object) -> object:
    """Read ``reports:9f86d0…,billing:60303a…``; what is no digest is never shown, it may be a secret."""
    if not isinstance(value, str):
        return value
    pairs = [part.strip().partition(":") for part in value.split(",") if part.strip()]
    if not all(re.fullmatch(r"[A-Za-z0-9_.-]{1,64}", name) for name, _, _ in pairs) or not all(
        re.fullmatch("[0-9A-Fa-f]{64}", digest) for _, _, digest in pairs
    ):
        raise ValueError("must be name:digest, the SHA-256 of a service's secret in 64 hexadecimal digits")
    if len({name for name, _, _ in pairs}) != len(pairs):
        raise ValueError("has one name twice")
    return {name: digest.lower() for name, _, digest in pairs}


Rates = Annotated[tuple[Rate, ...], NoDecode, BeforeValidator(_rates)]
OneRate = Annotated[Rate, NoDecode, _written(Rate.parse)]
Guesses = Annotated[Budget, NoDecode, _written(Budget.parse)]
Caps = Annotated[tuple[int, int, int], NoDecode]
Digits = Literal[4, 6, 8, 12]
Networks = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_split), AfterValidator(_networks)]
HostName = Annotated[str | None, AfterValidator(_host_name)]


class _Group(BaseModel):
    # Container platforms put variables of their own into the environment (REDIS_PORT=tcp://…): foreign names
    # that happen to share a prefix are not ours to refuse.
    model_config = ConfigDict(frozen=True, extra="ignore")


class DatabaseSettings(_Group):
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
        parts = _readable(url, "postgresql", "postgres", "postgresql+asyncpg")
        if set(parse_qs(parts.query)) - {"sslmode"}:
            raise ValueError("may end in ?sslmode=… and in no other parameter")
        return url


class RedisSettings(_Group):
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
        _readable(url, "redis", "rediss", "unix")
        return url


class SmtpSettings(_Group):
    """Outgoing mail servers."""

    url: Annotated[tuple[SecretStr, ...], NoDecode] = Field(
        min_length=1,
        description="SMTP servers in order of preference, separated by commas: `smtps://user:password@host:465`, "
        "`smtp+starttls://…:587`, or plain `smtp://` for loopback and private addresses.",
    )
    connections: int = Field(4, ge=1, le=50, description="SMTP connections kept open by each mail worker.")

    _split_urls = field_validator("url", mode="before")(_split)

    @field_validator("url")
    @classmethod
    def _are_smtp(cls, urls: tuple[SecretStr, ...]) -> tuple[SecretStr, ...]:
        for url in urls:
            _readable(url, "smtps", "smtp+starttls", "smtp")
        return urls


class MailSettings(_Group):
    """What a mail says of us, and who sends it."""

    from_: str = Field(alias="from", min_length=3, description="Sender, as `Example <auth@example.com>`.")
    service: str = Field("Auth", min_length=1, max_length=60, description="The name that mails call the service by.")
    worker: bool = Field(default=True, description="Send mail from the serving process; off when `worker` runs apart.")
    backlog: int = Field(1000, ge=1, description="Waiting code mails above which new starts are refused with 503.")
    backlog_age: int = Field(300, ge=1, description="Age of the oldest waiting code mail above which they are.")

    @field_validator("from_")
    @classmethod
    def _is_sender(cls, sender: str) -> str:
        if not re.fullmatch(r"[!-?A-~]{1,64}@[A-Za-z0-9.-]{1,255}", parseaddr(sender)[1]):
            raise ValueError("must be a sender such as Example <auth@example.com>")
        return sender


class CodeSettings(_Group):
    """One-time codes."""

    digits: Annotated[Digits, BeforeValidator(_whole)] = Field(
        4, description="Least length of a code: 4, 6, 8 or 12; 6 is the strict profile (NIST SP 800-63B)."
    )
    ttl: int = Field(600, ge=1, le=600, description="Life of a code from its hand-over to SMTP (ASVS 6.5.5).")
    resend_after: int = Field(60, ge=0, le=600, description="Least time between two codes of one flow.")
    resends: int = Field(5, ge=0, le=20, description="Codes that a flow may ask for after its first.")


class FlowSettings(_Group):
    """Registrations, log-ins and recoveries under way."""

    ttl: int = Field(1800, ge=1, le=7200, description="Life of a flow from its start.")


class RecoverSettings(_Group):
    """Recovery."""

    code_digits: Annotated[Digits | None, BeforeValidator(_whole)] = Field(
        None,
        description="Least length of a code at /recover, CODE_DIGITS when unset; 6 from 1,000 recoveries a day on.",
    )


class LadderSettings(_Group):
    """Wrong guesses that one account and purpose may cost: at once / a year."""

    four: Guesses = Field(Budget(6, 2), alias="4", description="Guesses at 4 digits, from unknown devices.")
    six: Guesses = Field(Budget(30, 52), alias="6", description="Guesses at 6 digits.")
    eight: Guesses = Field(Budget(200, 1000), alias="8", description="Guesses at 8 digits; then a code has 12.")
    device: Guesses = Field(Budget(9, 12), description="Guesses at 4 digits, for each known device.")


class ThermostatSettings(_Group):
    """Wrong guesses of a whole purpose a day, by unknown devices, after which its codes have 6, 8 and 12 digits."""

    login: Caps = Field((100, 500, 5000), description="At /login, where the password comes first.")
    recover: Caps = Field((20, 500, 5000), description="At /recover.")

    @field_validator("login", "recover", mode="before")
    @classmethod
    def _are_three(cls, caps: object) -> object:
        parts = _split(caps)
        numbers = [int(part) for part in parts if str(part).isdecimal()] if isinstance(parts, Sequence) else []
        if len(numbers) != 3 or min(numbers) < 1:  # noqa: PLR2004 - a floor each for 4, 6 and 8 digits
            raise ValueError("must be three numbers above 0, such as 20,500,5000")
        return tuple(numbers)


class LimitSettings(_Group):
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


class DeviceSettings(_Group):
    """Known devices."""

    ttl: int = Field(7_776_000, ge=0, description="How long a device stays known after it has finished a flow.")


class HashSettings(_Group):
    """Password hashing, PBKDF2-HMAC-SHA256."""

    iterations: int = Field(PBKDF2_FLOOR, ge=1, description="Iterations; fewer than 600,000 only in development.")
    threads: int = Field(
        2, ge=1, le=64, description="Low-priority threads a process; two suit any machine of 2+ cores."
    )
    max_wait: float = Field(2.0, gt=0, le=10, description="Expected wait above which a hash is refused with 503.")


class TokenSettings(_Group):
    """Access tokens (RFC 9068)."""

    ttl: int = Field(600, ge=10, le=LONGEST_TOKEN, description="Life of an access token.")
    audience: str | None = Field(
        None, pattern=r"^\S+$", description="Audience of access tokens; the issuer when unset."
    )
    leeway: int = Field(30, ge=0, le=120, description="Clock difference tolerated in `exp`, `nbf` and `iat`.")


class SessionSettings(_Group):
    """Sessions and their refresh tokens."""

    idle: int = Field(1_209_600, ge=60, le=TEN_YEARS, description="How long a session lives without being refreshed.")
    absolute: int = Field(2_592_000, ge=60, le=TEN_YEARS, description="How long it lives in all.")
    most: int = Field(10, ge=1, le=1000, description="Sessions of one user; the oldest makes room for the next.")
    repeat: int = Field(
        10, ge=0, le=60, description="How long a used refresh token gives the same successor again; 0 is strict."
    )


class AuditSettings(_Group):
    """The audit log."""

    keep: int = Field(7_776_000, ge=86_400, le=TEN_YEARS, description="How long a line of the audit log is kept.")


class KeySettings(_Group):
    """Signing keys."""

    algorithm: Literal["ES256", "EdDSA", "RS256"] = Field(
        "ES256", description="What the next key signs with; RSA keys have 3072 bits."
    )
    life: int = Field(2_592_000, ge=1, le=TEN_YEARS, description="How long a key signs before the next one does.")
    max_age: int = Field(300, ge=1, le=86_400, description="How long a verifier may keep the list of keys.")
    reread: int = Field(30, ge=1, le=300, description="How often each process looks for new keys.")

    @property
    def lead(self) -> int:
        """Seconds that a key is published before it signs: by then every list that lacks it is out of date."""
        return self.max_age + 2 * self.reread

    @model_validator(mode="after")
    def _keys_do_not_overtake_each_other(self) -> Self:
        if self.life < 2 * self.lead:
            raise ValueError(f"KEY_LIFE must be at least {2 * self.lead}: twice KEY_MAX_AGE and four times KEY_REREAD")
        return self


def _rungs(ladder: LadderSettings, least: int, *, device: bool) -> tuple[Rung, ...]:
    first = ladder.device if device else ladder.four
    rungs = (Rung(4, first), Rung(6, ladder.six), Rung(8, ladder.eight), Rung(TOP, None))
    return tuple(rung for rung in rungs if rung.digits >= least)


def _takeover_bound(ladder: LadderSettings, least: int, mails: Rate, *, device: bool) -> float:
    mails_a_year = mails.count + 365 * 86_400 * mails.count / mails.seconds
    return takeover_bound(_rungs(ladder, least, device=device), mails_a_year)


def _is_group(field: FieldInfo) -> bool:
    return isinstance(field.annotation, type) and issubclass(field.annotation, _Group)


class _GroupsByField:
    """Reads a group by the names of its fields alone: a bare ``MAIL`` in the environment is the login shell's."""

    def prepare_field_value(self, field_name: str, field: FieldInfo, value: Any, value_is_complex: bool) -> Any:  # noqa: FBT001 - the library's signature
        value = None if _is_group(field) else value
        return super().prepare_field_value(field_name, field, value, value_is_complex)  # type: ignore[misc] # a mix-in

    def explode_env_vars(self, field_name: str, field: FieldInfo, env_vars: Mapping[str, str | None]) -> dict[str, Any]:
        """Take a list for a list: the library would read ``SECRET_KEYS_FILE`` as its member ``file``."""
        if not _is_group(field):
            return {}
        return super().explode_env_vars(field_name, field, env_vars)  # type: ignore[misc,no-any-return] # a mix-in


class _Environment(_GroupsByField, EnvSettingsSource):
    pass


class _DotEnv(_GroupsByField, DotEnvSettingsSource):
    pass


class _SecretFiles(_GroupsByField, EnvSettingsSource):
    """Reads a setting from the file that ``NAME_FILE`` names, as with Docker's secrets; what is amiss is kept."""

    def __init__(self, settings_cls: type[BaseSettings]) -> None:
        self.problems: dict[str, str] = {}
        super().__init__(settings_cls)

    def _load_env_vars(self) -> Mapping[str, str | None]:
        given = {**_DotEnv(self.settings_cls).env_vars, **_Environment(self.settings_cls).env_vars}
        read: dict[str, str | None] = {}
        for name in _names(self.settings_cls):
            path = given.get(f"{name}_file")
            if not path:
                continue
            if given.get(name):
                self.problems[name.upper()] = f"is set, and so is {name.upper()}_FILE; unset one of them"
                continue
            try:
                read[name] = Path(path).read_text("utf-8").strip()
            except (OSError, UnicodeDecodeError) as error:
                reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
                self.problems[name.upper()] = f"the file that {name.upper()}_FILE names cannot be read: {reason}"
        return read


def _names(settings_cls: type[BaseSettings]) -> list[str]:
    """The settings as they are called in the environment, in small letters."""
    names = []
    for name, field in settings_cls.model_fields.items():
        group = field.annotation
        if _is_group(field) and group is not None:
            names += [f"{name}_{inner.alias or key}" for key, inner in group.model_fields.items()]
        else:
            names.append(name)
    return names


class Settings(BaseSettings):
    """Every setting of the service. Secrets have no default: a missing one stops the start."""

    model_config = SettingsConfigDict(
        env_file=".env",
        env_nested_delimiter="_",
        env_nested_max_split=1,
        env_ignore_empty=True,  # docker-compose.yaml hands on what may be unset as ""
        frozen=True,
        extra="ignore",
        hide_input_in_errors=True,
    )

    environment: Literal["production", "development"] = Field(
        "production", description="`development` allows cheap hashes, for tests and trials only."
    )
    host: str = Field("127.0.0.1", description="Address to serve on.")
    port: int = Field(8000, ge=0, le=65535, description="Port to serve on.")
    domain: HostName = Field(None, description="Public name of the service, such as `auth.example.com`.")
    issuer: str = Field(
        "",
        validate_default=True,
        description="`iss` of tokens and base of public addresses; `https://DOMAIN` when unset.",
    )
    client_id: str = Field("web", min_length=1, description="`client_id` of access tokens (RFC 9068 section 2.2).")
    secret_keys: Annotated[tuple[SecretStr, ...], NoDecode] = Field(
        min_length=1,
        description="The one secret, newest first, separated by commas; each at least 32 characters. "
        "Every other key is derived from it.",
    )
    service_clients: Annotated[dict[str, str], NoDecode, BeforeValidator(_secrets_by_name)] = Field(
        {},
        description="Services that may call `/introspect` and `/revoke`, separated by commas: `name:SHA-256`, the "
        "latter in hexadecimal and of a secret of 256 random bits.",
    )
    trusted_proxies: Networks = Field(
        (),
        description="Addresses or networks of the proxies before us, separated by commas: their X-Forwarded-For is "
        "believed, and nobody else's.",
    )
    accept_weaker_codes: bool = Field(
        default=False, description="Start although the ladder's settings break the promise of docs/security.md."
    )
    docs: bool = Field(default=True, description="Serve `/docs` and `/openapi.json`.")
    cors_origins: Annotated[tuple[str, ...], NoDecode] = Field(
        (), description="Origins that browsers may call from, separated by commas; none when unset."
    )

    database: DatabaseSettings
    redis: RedisSettings
    smtp: SmtpSettings
    mail: MailSettings
    code: CodeSettings = CodeSettings()
    recover: RecoverSettings = RecoverSettings()
    limit: LimitSettings = LimitSettings()
    ladder: LadderSettings = LadderSettings()
    thermostat: ThermostatSettings = ThermostatSettings()
    device: DeviceSettings = DeviceSettings()
    flow: FlowSettings = FlowSettings()
    hash: HashSettings = HashSettings()
    token: TokenSettings = TokenSettings()
    session: SessionSettings = SessionSettings()
    key: KeySettings = KeySettings()
    audit: AuditSettings = AuditSettings()

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - replaced
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - replaced
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - a folder of files; ours are named one by one
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """The environment first, then ``.env``, then the files that they name."""
        return init_settings, _Environment(settings_cls), _DotEnv(settings_cls), _SecretFiles(settings_cls)

    _split_lists = field_validator("secret_keys", "cors_origins", mode="before")(_split)

    @field_validator("secret_keys")
    @classmethod
    def _keys_are_strong(cls, keys: tuple[SecretStr, ...]) -> tuple[SecretStr, ...]:
        for key in keys:
            value = key.get_secret_value()
            if len(value.encode()) < SECRET_KEY_FLOOR or len(set(value)) < SECRET_KEY_VARIETY:
                raise ValueError("each key needs at least 32 random characters; make one with: openssl rand -base64 32")
        return keys

    @model_validator(mode="before")
    @classmethod
    def _groups_exist(cls, values: dict[str, Any]) -> dict[str, Any]:
        # A group of which no variable is set would be told as "database: missing"; an empty one is told by its fields.
        for group in ("database", "redis", "smtp", "mail"):
            values.setdefault(group, {})
        return values

    # Said of a field, not of the whole, so that these are told together with all other problems.
    @field_validator("issuer")
    @classmethod
    def _issuer_is_known(cls, issuer: str, info: ValidationInfo) -> str:
        domain = info.data.get("domain")
        if not issuer and not domain:
            raise ValueError("set ISSUER, such as https://auth.example.com, or DOMAIN")
        issuer = issuer or f"https://{domain}"
        parts = urlsplit(issuer)
        if parts.scheme not in ("http", "https"):
            raise ValueError("must start with https:// (or http:// on this machine)")
        # RFC 8414 section 2; verifiers compare it letter by letter, and public addresses are built by adding to it.
        if issuer.endswith("/") or parts.query or parts.fragment:
            raise ValueError("must not end in /, and must have neither ? nor #")
        return issuer

    @field_validator("hash")
    @classmethod
    def _hashes_are_costly(cls, group: HashSettings, info: ValidationInfo) -> HashSettings:
        if group.iterations < PBKDF2_FLOOR and info.data.get("environment") != "development":
            raise ValueError("HASH_ITERATIONS below 600000 needs ENVIRONMENT=development")
        return group

    @field_validator("key")
    @classmethod
    def _keys_are_few(cls, group: KeySettings, info: ValidationInfo) -> KeySettings:
        if group.life < LONGEST_TOKEN and info.data.get("environment") != "development":
            raise ValueError("KEY_LIFE below 3600 needs ENVIRONMENT=development: too many keys would be published")
        return group

    @field_validator("ladder")
    @classmethod
    def _codes_hold(cls, ladder: LadderSettings, info: ValidationInfo) -> LadderSettings:
        if info.data.get("accept_weaker_codes") or not {"code", "recover", "limit"} <= info.data.keys():
            return ladder
        code, recover, limit = info.data["code"], info.data["recover"], info.data["limit"]
        shortest = min(code.digits, recover.code_digits or code.digits)
        for device, mails, promised in (
            (False, limit.mails, TAKEOVER_BOUND),
            (True, limit.device_mails, DEVICE_TAKEOVER_BOUND),
        ):
            bound = _takeover_bound(ladder, shortest, mails, device=device)
            if bound > promised:
                secret = "with a known device's secret, " if device else ""
                raise ValueError(
                    f"{secret}guessing takes an account with a chance of {bound:.2g} a year and purpose, "
                    f"{promised:g} is promised; lower LADDER_4, LADDER_6, LADDER_8 or LADDER_DEVICE, "
                    "raise CODE_DIGITS, or set ACCEPT_WEAKER_CODES=true"
                )
        return ladder

    @property
    def secrets(self) -> list[str]:
        """The secret keys in clear, newest first."""
        return [key.get_secret_value() for key in self.secret_keys]

    @property
    def least_digits(self) -> dict[str, int]:
        """The shortest code of each purpose."""
        return {
            "register": self.code.digits,
            "login": self.code.digits,
            "recover": self.recover.code_digits or self.code.digits,
            "email": self.code.digits,
            "delete": self.code.digits,
        }

    def rungs(self, *, device: bool) -> dict[str, tuple[Rung, ...]]:
        """The ladder of each purpose, for unknown devices or for a known one."""
        return {purpose: _rungs(self.ladder, least, device=device) for purpose, least in self.least_digits.items()}

    def takeover_bounds(self, *, device: bool) -> dict[str, float]:
        """What a year of guessing can win against one account, by purpose (`models.ladder.takeover_bound`)."""
        mails = self.limit.device_mails if device else self.limit.mails
        return {
            purpose: _takeover_bound(self.ladder, least, mails, device=device)
            for purpose, least in self.least_digits.items()
        }

    @property
    def audience(self) -> str:
        """Who access tokens are meant for."""
        return self.token.audience or self.issuer


class EdgeSettings(BaseSettings):
    """What `init` needs to know for nginx, from the environment alone: there is nothing secret in it."""

    model_config = SettingsConfigDict(env_ignore_empty=True, frozen=True, extra="ignore", hide_input_in_errors=True)

    domain: HostName = Field(None, description="Public name of the service; `localhost` when unset.")
    trusted_proxies: Networks = Field(
        (), description="Proxies before nginx, whose X-Forwarded-For it believes; none when unset."
    )
    admin_allow: Networks = Field(
        (), description="Networks that may call `/admin`, `/metrics` and `/health/ready` from outside."
    )


_UNUSABLE = "The configuration cannot be used:"

_AnySettings = TypeVar("_AnySettings", bound=BaseSettings)


def _load(settings_cls: type[_AnySettings], known: Mapping[str, str]) -> _AnySettings:
    problems = [f"{name}: {text}" for name, text in known.items()]
    try:
        settings = settings_cls()
    except ValidationError as error:
        for problem in error.errors(include_url=False, include_input=False, include_context=False):
            name = "_".join(str(part) for part in problem["loc"] if not isinstance(part, int)).upper()
            text = problem["msg"].removeprefix("Value error, ")
            if name not in known:
                problems.append(f"{name}: {text}" if name else text)
    if problems:
        raise ConfigurationError("\n  ".join((_UNUSABLE, *problems)))
    return settings


def load_settings() -> Settings:
    """Read the environment, ``.env`` and the files that they name.

    Raises:
        ConfigurationError: something is missing or wrong; every problem is told at once, by name, without values.
    """
    return _load(Settings, _SecretFiles(Settings).problems)


def check_settings(*loads: Callable[[], object]) -> None:
    """Load several kinds of settings for what is wrong with them.

    Raises:
        ConfigurationError: something is missing or wrong; every problem of all of them is told at once.
    """
    problems: list[str] = []
    for load in loads:
        try:
            load()
        except ConfigurationError as error:
            lines = [line.strip() for line in str(error).splitlines()[1:]]
            problems += [line for line in lines if line not in problems]
    if problems:
        raise ConfigurationError("\n  ".join((_UNUSABLE, *problems)))


def load_edge_settings() -> EdgeSettings:
    """Read what concerns nginx.

    Raises:
        ConfigurationError: as above.
    """
    return _load(EdgeSettings, {})
