"""Every setting of the service; read once at the front door and handed down as values.

Names are flat in the environment: the field ``code.ttl`` is set by ``CODE_TTL``. Durations are seconds.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar
from urllib.parse import urlsplit

from pydantic import (
    BeforeValidator,
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

from models.settings.groups import (
    LONGEST_TOKEN,
    PBKDF2_FLOOR,
    AuditSettings,
    CodeSettings,
    DatabaseSettings,
    DeviceSettings,
    FlowSettings,
    Group,
    HashSettings,
    KeySettings,
    LadderSettings,
    LimitSettings,
    MailSettings,
    RecoverSettings,
    RedisSettings,
    RefreshSettings,
    SessionSettings,
    SmtpSettings,
    ThermostatSettings,
    TokenSettings,
)
from models.settings.notations import HostName, Networks, secrets_by_name, split
from models.values.flow import RECOVER, SPECS
from models.values.ladder import DEVICE_TAKEOVER_BOUND, TAKEOVER_BOUND, Rung

SECRET_KEY_VARIETY = 10
"""Different characters that a random key of 32 has for certain; `changeme…` and `aaaa…` have fewer."""

SECRET_KEY_FLOOR = 32
"""Bytes; 256 bits, the output length of the HMAC and HKDF that the keys feed (RFC 2104 section 3)."""


class ConfigurationError(Exception):
    """The settings are missing, weak or contradictory; the text names each of them and shows no value."""


def _is_group(field: FieldInfo) -> bool:
    return isinstance(field.annotation, type) and issubclass(field.annotation, Group)


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
    service_name: str = Field(
        "Auth", min_length=1, max_length=60, description="The name of the service in mails and at `/docs`."
    )
    client_id: str = Field("web", min_length=1, description="`client_id` of access tokens (RFC 9068 section 2.2).")
    secret_keys: Annotated[tuple[SecretStr, ...], NoDecode] = Field(
        min_length=1,
        description="The one secret, newest first, separated by commas; each at least 32 characters. "
        "Every other key is derived from it.",
    )
    service_clients: Annotated[dict[str, str], NoDecode, BeforeValidator(secrets_by_name)] = Field(
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
    refresh: RefreshSettings = RefreshSettings()
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

    _split_lists = field_validator("secret_keys", "cors_origins", mode="before")(split)

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
            bound = ladder.takeover_bound(shortest, mails, device=device)
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
        recover = self.recover.code_digits or self.code.digits
        return {purpose: recover if purpose == RECOVER.name else self.code.digits for purpose in SPECS}

    def rungs(self, *, device: bool) -> dict[str, tuple[Rung, ...]]:
        """The ladder of each purpose, for unknown devices or for a known one."""
        return {purpose: self.ladder.rungs(least, device=device) for purpose, least in self.least_digits.items()}

    def takeover_bounds(self, *, device: bool) -> dict[str, float]:
        """What a year of guessing can win against one account, by purpose (`models.values.ladder.takeover_bound`)."""
        mails = self.limit.device_mails if device else self.limit.mails
        return {
            purpose: self.ladder.takeover_bound(least, mails, device=device)
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
                # What is said of a group begins with the name of one of its settings.
                problems.append(f"{name}: {text}" if name and not text.startswith(f"{name}_") else text)
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
