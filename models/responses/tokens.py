"""Responses about tokens: refresh, introspection, published keys and metadata."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from models.responses.common import Answer

REFRESH_TOKEN_EXAMPLE = "AZqqPi9gfB6NS2p7jJ0OH3mW9lpJcBv4u6Zr8lq1m0Qm5v0i8v1kQx2nD3yZr7bTq9sWc4uEo6hKp8xJ2fLgVw"  # noqa: S105


class Tokens(Answer):
    """The tokens of a session (RFC 6749 section 5.1)."""

    access_token: str = Field(description="A JWT (RFC 9068).", examples=["eyJhbGciOiJFUzI1NiIsInR5cCI6ImF0K2p3dCJ9…"])
    token_type: Literal["Bearer"] = "Bearer"  # noqa: S105 - the scheme of RFC 6750
    expires_in: int = Field(description="Seconds until the access token expires.", examples=[600])
    refresh_token: str = Field(
        description="Valid once, at `/token/refresh`; store it where no script of a page can read it.",
        examples=[REFRESH_TOKEN_EXAMPLE],
    )


class Introspection(Answer):
    """The state of an access token (RFC 7662 section 2.2); for an invalid token only `active`, which is false."""

    active: bool = Field(description="Whether the token is valid now.")
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
    roles: list[str] | None = Field(None, description="The current ones.", examples=[["user"]])
    permissions: list[str] | None = Field(None, description="The current ones.", examples=[["account:read"]])


class ServerMetadata(Answer):
    """The addresses of the endpoints and what they support (RFC 8414 section 2)."""

    issuer: str = Field(examples=["https://auth.example.com"])
    jwks_uri: str = Field(examples=["https://auth.example.com/.well-known/jwks.json"])
    introspection_endpoint: str = Field(examples=["https://auth.example.com/introspect"])
    introspection_endpoint_auth_methods_supported: list[str] = Field(examples=[["client_secret_basic"]])
    revocation_endpoint: str = Field(examples=["https://auth.example.com/revoke"])
    revocation_endpoint_auth_methods_supported: list[str] = Field(examples=[["client_secret_basic"]])
    response_types_supported: list[str] = Field(description="Empty: there is no authorization endpoint.", examples=[[]])
    grant_types_supported: list[str] = Field(description="Empty: use `/login` and `/token/refresh`.", examples=[[]])
    service_documentation: str | None = Field(None, examples=["https://auth.example.com/docs"])


class JwkPublicKey(Answer):
    """A public key (RFC 7517 section 4): EC has `crv`, `x` and `y`; Ed25519 has `crv` and `x`; RSA has `n` and `e`."""

    kty: str
    crv: str | None = None
    x: str | None = None
    y: str | None = None
    n: str | None = None
    e: str | None = None
    kid: str = Field(description="Key id: the thumbprint of RFC 7638.")
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
    """The published keys (RFC 7517 section 5)."""

    keys: list[JwkPublicKey] = Field(examples=[[_EC_KEY]])
