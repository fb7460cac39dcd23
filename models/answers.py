"""What the service answers with."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from models.locale import Locale

_KEY = "AZqqPhxTen2aLl1PDBsqOQswVXqfxOkOM1h9osfsETZbgKXK7xQ5XoOozfIXPGGG"


class Answer(BaseModel):
    """A response body."""

    model_config = ConfigDict(frozen=True)


class FlowOpened(Answer):
    """A flow is open and a code is on its way, should the address be one that gets it."""

    session_key: str = Field(description="Names the flow; needed at the next step.", examples=[_KEY])
    expires_in: int = Field(description="Seconds the flow still lives.", examples=[1800])
    resend_after: int = Field(description="Seconds until another code may be asked for.", examples=[60])
    next: str = Field(description="Path of the next call.", examples=["/login/confirm"])


class NextStep(Answer):
    """The step is passed; a new session key opens the next one and the old key is dead."""

    session_key: str = Field(examples=[_KEY])
    expires_in: int = Field(description="Seconds the flow still lives.", examples=[1500])
    next: str = Field(description="Path of the next call.", examples=["/recover/password"])


class UserProfile(Answer):
    """A user as the user may see it."""

    id: UUID = Field(examples=["019aaa3e-1c53-7a7d-9a2e-5d4f0c1b2a39"])
    email: str = Field(examples=["alice@example.com"])
    login: str = Field(examples=["alice"])
    locale: Locale
    roles: list[str] = Field(examples=[["user"]])
    permissions: list[str] = Field(examples=[["account:read", "account:write"]])
    created_at: datetime


class Tokens(Answer):
    """RFC 6749 section 5.1."""

    access_token: str = Field(description="A JWT of RFC 9068.", examples=["eyJhbGciOiJFUzI1NiIsInR5cCI6ImF0K2p3dCJ9…"])
    token_type: Literal["Bearer"] = "Bearer"  # noqa: S105 - the scheme of RFC 6750
    expires_in: int = Field(description="Seconds.", examples=[600])


class Problem(Answer):
    """RFC 9457 problem details."""

    model_config = ConfigDict(extra="allow")

    type: str = Field(description="An address that names the problem.", examples=["/problems/flow_gone"])
    title: str
    status: int
    detail: str | None = None
    code: str = Field(description="Stable; what a program should look at.")


class Health(Answer):
    """What can be reached."""

    status: Literal["ok", "unavailable"]
    dependencies: dict[str, Annotated[str, Field(pattern="ok|away")]] = Field(
        default_factory=dict, examples=[{"postgresql": "ok", "valkey": "ok"}]
    )


class PublicKey(Answer):
    """RFC 7517 section 4, an elliptic curve key (RFC 7518 section 6.2)."""

    kty: str = Field(examples=["EC"])
    crv: str = Field(examples=["P-256"])
    x: str
    y: str
    kid: str = Field(description="RFC 7638 thumbprint.")
    use: str = Field(examples=["sig"])
    alg: str = Field(examples=["ES256"])


class KeySet(Answer):
    """RFC 7517 section 5."""

    keys: list[PublicKey]
