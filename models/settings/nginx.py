"""The settings of nginx, which stands before the service."""

from __future__ import annotations

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from models.settings.notations import HostName, Networks


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
