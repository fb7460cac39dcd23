"""Every setting of the service; read once at the start and passed down as values.

Names are flat in the environment: the field ``code.ttl`` is set by ``CODE_TTL``. Durations are seconds.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import BeforeValidator, Field, SecretStr, ValidationInfo, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, PydanticBaseSettingsSource, SettingsConfigDict

from models.settings.loading import load
from models.settings.mail import MailSettings, SmtpSettings
from models.settings.misspellings import misspelt_settings, renamed_settings
from models.settings.nginx import EdgeSettings
from models.settings.notations import HostName, Networks, secrets_by_name, split
from models.settings.rules import (
    LONGEST_TOKEN,
    PBKDF2_FLOOR,
    AuditSettings,
    CodeSettings,
    DeviceSettings,
    FlowSettings,
    HashSettings,
    KeySettings,
    LadderSettings,
    LimitSettings,
    RecoverSettings,
    RefreshSettings,
    SessionSettings,
    ThermostatSettings,
    TokenSettings,
)
from models.settings.servers import DatabaseSettings, RedisSettings
from models.settings.sources import DotEnv, Environment, SecretFiles, given_variables, is_group, setting_fields
from models.values.code_length_ladder import DEVICE_TAKEOVER_BOUND, TAKEOVER_BOUND, Rung
from models.values.flow import RECOVER, SPECS

SECRET_KEY_VARIETY = 10
"""Different characters that a random key of 32 always has; `changeme…` and `aaaa…` have fewer."""

SECRET_KEY_FLOOR = 32
"""Bytes; 256 bits, the output length of the HMAC and HKDF that use the keys (RFC 2104 section 3)."""


class Settings(BaseSettings):
    """Every setting of the service. Secrets have no default: a missing one stops the start."""

    model_config = SettingsConfigDict(
        env_file=".env",
        env_nested_delimiter="_",
        env_nested_max_split=1,
        env_ignore_empty=True,  # docker-compose.yaml passes an unset variable as ""
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
        description="Secret keys, newest first, separated by commas, each of at least 32 characters. "
        "Every other key is derived from them.",
    )
    service_clients: Annotated[dict[str, str], NoDecode, BeforeValidator(secrets_by_name)] = Field(
        {},
        description="Services that may call `/introspect` and `/revoke`, separated by commas: `name:digest`, "
        "where the digest is the SHA-256 of a secret of 256 random bits, in hexadecimal.",
    )
    trusted_proxies: Networks = Field(
        (),
        description="Addresses or networks of the proxies in front of the service, separated by commas: only "
        "their X-Forwarded-For is trusted.",
    )
    accept_weaker_codes: bool = Field(
        default=False, description="Start even if the settings of the ladder break the promise of docs/security.md."
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
        """Return the sources: the environment, then ``.env``, then the files that they name."""
        return init_settings, Environment(settings_cls), DotEnv(settings_cls), SecretFiles(settings_cls)

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
        # An absent group would be reported as "database: missing"; an empty one is reported by its fields.
        for group in ("database", "redis", "smtp", "mail"):
            values.setdefault(group, {})
        return values

    # Validators of fields, not of the whole, so that their problems are reported together with all others.
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
        # RFC 8414 section 2. Verifiers compare it exactly, and public addresses are built by appending to it.
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
                secret = "with the token of a known device, " if device else ""
                raise ValueError(
                    f"{secret}guessing takes an account with a chance of {bound:.2g} a year and purpose, "
                    f"but {promised:g} is promised; lower LADDER_4, LADDER_6, LADDER_8 or LADDER_DEVICE, "
                    "raise CODE_DIGITS, or set ACCEPT_WEAKER_CODES=true"
                )
        return ladder

    @property
    def secrets(self) -> list[str]:
        """The secret keys as plain text, newest first."""
        return [key.get_secret_value() for key in self.secret_keys]

    @property
    def least_digits(self) -> dict[str, int]:
        """The shortest code of each purpose."""
        recover = self.recover.code_digits or self.code.digits
        return {purpose: recover if purpose == RECOVER.name else self.code.digits for purpose in SPECS}

    def rungs(self, *, device: bool) -> dict[str, tuple[Rung, ...]]:
        """Return the ladder of each purpose, for unknown devices or for a known one."""
        return {purpose: self.ladder.rungs(least, device=device) for purpose, least in self.least_digits.items()}

    @property
    def audience(self) -> str:
        """The `aud` of access tokens."""
        return self.token.audience or self.issuer


def _given_names() -> list[str]:
    return [name.upper() for name, value in given_variables(Settings).items() if value]


def load_settings() -> Settings:
    """Read the environment, ``.env`` and the files that they name.

    Raises:
        ConfigurationError: a setting is missing, wrong or was renamed; the text lists every problem at once.
    """
    return load(Settings, {**renamed_settings(_given_names()), **SecretFiles(Settings).problems})


def load_edge_settings() -> EdgeSettings:
    """Read the settings of nginx.

    Raises:
        ConfigurationError: as above.
    """
    return load(EdgeSettings, renamed_settings(_given_names()))


def setting_warnings() -> list[str]:
    """Return a warning for each variable that is probably a misspelt setting; a start logs them."""
    known = {name.upper() for settings_cls in (Settings, EdgeSettings) for name in setting_fields(settings_cls)}
    groups = {name.upper() for name, field in Settings.model_fields.items() if is_group(field)}
    return list(misspelt_settings(_given_names(), known, groups))
