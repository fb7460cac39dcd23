"""What every group of settings is built on."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Group(BaseModel):
    """Settings with a common prefix, the name of the group."""

    # Container platforms set variables that happen to have our prefix (REDIS_PORT=tcp://…); a start must not refuse
    # them.
    model_config = ConfigDict(frozen=True, extra="ignore")
