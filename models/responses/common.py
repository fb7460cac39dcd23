"""What the service answers with."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from models.values.locale import Locale

SESSION_KEY_EXAMPLE = "AZqqPhxTen2aLl1PDBsqOQswVXqfxOkOM1h9osfsETZbgKXK7xQ5XoOozfIXPGGG"


REFRESH_TOKEN_EXAMPLE = "AZqqPi9gfB6NS2p7jJ0OH3mW9lpJcBv4u6Zr8lq1m0Qm5v0i8v1kQx2nD3yZr7bTq9sWc4uEo6hKp8xJ2fLgVw"  # noqa: S105


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
    expires_in: int = Field(description="Seconds the access token lives.", examples=[600])
    refresh_token: str = Field(
        description="Good once, at `/token/refresh`; keep it where no script of a page reads it.",
        examples=[REFRESH_TOKEN_EXAMPLE],
    )


class UserSession(Answer):
    """A session: one log-in, and what followed from it."""

    id: UUID = Field(description="The `sid` of its access tokens.", examples=["019aaa3e-2f60-7c1e-8d4b-6a7b8c9d0e1f"])
    user_agent: str = Field(
        description="What the program said that it was.", examples=["Mozilla/5.0 (X11; Linux x86_64)"]
    )
    created_at: datetime = Field(
        description="When password and code were given.", examples=["2026-11-22T18:04:05.123456Z"]
    )
    last_used_at: datetime = Field(description="When it was last refreshed.", examples=["2026-11-22T19:10:00.123456Z"])
    expires_at: datetime = Field(
        description="When it ends, unless it is refreshed.", examples=["2026-12-06T19:10:00.123456Z"]
    )


class OwnSession(UserSession):
    """A session of the user who asks."""

    current: bool = Field(description="Whether it is the one that asks.", examples=[True])


class Introspection(Answer):
    """RFC 7662 section 2.2; of a token that is not good, nothing but that."""

    active: bool
    scope: str | None = Field(None, description="The permissions, separated by spaces.", examples=["account:read"])
    client_id: str | None = Field(None, examples=["web"])
    username: str | None = Field(None, description="The login.", examples=["alice"])
    token_type: str | None = Field(None, examples=["Bearer"])
    exp: int | None = Field(None, examples=[1795373078])
    iat: int | None = Field(None, examples=[1795372478])
    nbf: int | None = Field(None, examples=[1795372478])
    sub: str | None = Field(None, description="The user's id.", examples=["019aaa3e-1c53-7a7d-9a2e-5d4f0c1b2a39"])
    aud: str | None = Field(None, examples=["https://auth.example.com"])
    iss: str | None = Field(None, examples=["https://auth.example.com"])
    jti: str | None = Field(None, examples=["e2c4cff89fe44a678701ecbea56ab056"])
    sid: str | None = Field(None, description="The session's id.", examples=["019aaa3e-2f60-7c1e-8d4b-6a7b8c9d0e1f"])
    roles: list[str] | None = Field(None, description="As they are now.", examples=[["user"]])
    permissions: list[str] | None = Field(None, description="As they are now.", examples=[["account:read"]])


class OAuthError(Answer):
    """RFC 6749 section 5.2."""

    error: str = Field(examples=["invalid_client"])
    error_description: str = Field(examples=["The service's name or secret is wrong."])


class ServerMetadata(Answer):
    """RFC 8414 section 2: where things are, and what is understood there."""

    issuer: str = Field(examples=["https://auth.example.com"])
    jwks_uri: str = Field(examples=["https://auth.example.com/.well-known/jwks.json"])
    introspection_endpoint: str = Field(examples=["https://auth.example.com/introspect"])
    introspection_endpoint_auth_methods_supported: list[str] = Field(examples=[["client_secret_basic"]])
    revocation_endpoint: str = Field(examples=["https://auth.example.com/revoke"])
    revocation_endpoint_auth_methods_supported: list[str] = Field(examples=[["client_secret_basic"]])
    response_types_supported: list[str] = Field(description="None: nobody is redirected here.", examples=[[]])
    grant_types_supported: list[str] = Field(description="None: see `/login` and `/token/refresh`.", examples=[[]])
    service_documentation: str | None = Field(None, examples=["https://auth.example.com/docs"])


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
        default_factory=dict, examples=[{"postgresql": "ok", "valkey": "ok", "signing key": "ok"}]
    )


class JwkPublicKey(Answer):
    """RFC 7517 section 4: an elliptic curve key has `crv`, `x` and `y`, an Ed25519 key no `y`, an RSA key `n`, `e`."""

    kty: str
    crv: str | None = None
    x: str | None = None
    y: str | None = None
    n: str | None = None
    e: str | None = None
    kid: str = Field(description="RFC 7638 thumbprint.")
    use: str
    alg: str


_EC_KEY = {
    "kty": "EC",
    "crv": "P-256",
    "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",  # RFC 7515 appendix A.3
    "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0",
    "kid": "oKIywvGUpTVTyxMQ3bwIIeQUudfr_CkLMjCE19ECD-U",
    "use": "sig",
    "alg": "ES256",
}


class KeySet(Answer):
    """RFC 7517 section 5."""

    keys: list[JwkPublicKey] = Field(examples=[[_EC_KEY]])
