"""What the service answers with."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from models.locale import Locale

SESSION_KEY_EXAMPLE = "AZqqPhxTen2aLl1PDBsqOQswVXqfxOkOM1h9osfsETZbgKXK7xQ5XoOozfIXPGGG"


class Answer(BaseModel):
    """A response body."""

    model_config = ConfigDict(frozen=True)


class FlowOpened(Answer):
    """A flow is open and a code is on its way, should the address be one that gets it."""

    session_key: str = Field(description="Names the flow; needed at the next step.", examples=[SESSION_KEY_EXAMPLE])
    expires_in: int = Field(description="Seconds the flow still lives.", examples=[1800])
    resend_after: int = Field(description="Seconds until another code may be asked for.", examples=[60])
    next: str = Field(description="Path of the next call.", examples=["/login/confirm"])


class NextStep(Answer):
    """The step is passed; a new session key opens the next one and the old key is dead."""

    session_key: str = Field(examples=[SESSION_KEY_EXAMPLE])
    expires_in: int = Field(description="Seconds the flow still lives.", examples=[1500])
    next: str = Field(description="Path of the next call.", examples=["/recover/password"])


class UserProfile(Answer):
    """A user as the user may see it."""

    id: UUID = Field(examples=["019aaa3e-1c53-7a7d-9a2e-5d4f0c1b2a39"])
    email: str = Field(examples=["alice@example.com"])
    login: str = Field(examples=["alice"])
    locale: Locale = Field(description="Language of mails.", examples=["en"])
    roles: list[str] = Field(examples=[["user"]])
    permissions: list[str] = Field(
        description="Of all the roles together.", examples=[["account:read", "account:write"]]
    )
    created_at: datetime = Field(examples=["2026-11-22T18:04:05.123456Z"])


class Tokens(Answer):
    """RFC 6749 section 5.1."""

    access_token: str = Field(description="A JWT of RFC 9068.", examples=["eyJhbGciOiJFUzI1NiIsInR5cCI6ImF0K2p3dCJ9…"])
    token_type: Literal["Bearer"] = "Bearer"  # noqa: S105 - the scheme of RFC 6750
    expires_in: int = Field(description="Seconds.", examples=[600])


class Problem(Answer):
    """RFC 9457 problem details."""

    model_config = ConfigDict(extra="allow")

    type: str = Field(description="An address that names the problem.", examples=["/problems/flow_gone"])
    title: str = Field(description="What is wrong, the same for every case of the code.")
    status: int = Field(description="The HTTP status once more.")
    detail: str | None = Field(None, description="What is wrong in this case, or what to do about it.")
    code: str = Field(description="Stable; what a program should look at.")


class Health(Answer):
    """What can be reached."""

    status: Literal["ok", "unavailable"] = Field(examples=["ok"])
    dependencies: dict[str, Annotated[str, Field(pattern="ok|away")]] = Field(
        default_factory=dict, examples=[{"postgresql": "ok", "valkey": "ok"}]
    )


class PublicKey(Answer):
    """RFC 7517 section 4, an elliptic curve key (RFC 7518 section 6.2)."""

    kty: str = Field(examples=["EC"])
    crv: str = Field(examples=["P-256"])
    x: str = Field(examples=["f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU"])  # RFC 7515 appendix A.3
    y: str = Field(examples=["x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"])
    kid: str = Field(description="RFC 7638 thumbprint.", examples=["oKIywvGUpTVTyxMQ3bwIIeQUudfr_CkLMjCE19ECD-U"])
    use: str = Field(examples=["sig"])
    alg: str = Field(examples=["ES256"])


class KeySet(Answer):
    """RFC 7517 section 5."""

    keys: list[PublicKey]
