"""The base of all responses, errors and health."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field


class Answer(BaseModel):
    """A response body."""

    model_config = ConfigDict(frozen=True)


class OAuthError(Answer):
    """An error of the OAuth endpoints (RFC 6749 section 5.2)."""

    error: str = Field(examples=["invalid_client"])
    error_description: str = Field(examples=["The service's name or secret is wrong."])


class Problem(Answer):
    """An error (RFC 9457 problem details)."""

    model_config = ConfigDict(extra="allow")

    type: str = Field(description="URI that identifies the kind of problem.", examples=["/problems/flow_gone"])
    title: str = Field(description="What is wrong; the same text for every problem of this code.")
    status: int = Field(description="The HTTP status.")
    detail: str | None = Field(None, description="What is wrong in this case, or what to do about it.")
    code: str = Field(description="Stable identifier of the problem, for programs.")


class Health(Answer):
    """Which dependencies can be reached."""

    status: Literal["ok", "unavailable"] = Field(examples=["ok"])
    dependencies: dict[str, Annotated[str, Field(pattern="ok|away")]] = Field(
        default_factory=dict, examples=[{"postgresql": "ok", "valkey": "ok", "signing key": "ok"}]
    )
