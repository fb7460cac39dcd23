"""What the service publishes for verifiers: its public keys (RFC 7517) and its metadata (RFC 8414)."""

from __future__ import annotations

from dataclasses import dataclass

from backend.tokens.signing_keys import SigningKeys
from models.responses.tokens import ServerMetadata

_BASIC = ["client_secret_basic"]


@dataclass(frozen=True, slots=True)
class ServerMetadataService:
    """Returns the published keys and the addresses of the endpoints."""

    keys: SigningKeys
    issuer: str
    keep: int
    """Seconds that a verifier may cache either."""
    has_docs: bool

    @property
    def max_age(self) -> int:
        """Return how many seconds a verifier may cache either: one, while our own copy of the keys is out of date."""
        return 1 if self.keys.is_out_of_date else self.keep

    @property
    def jwks(self) -> dict[str, list[dict[str, str]]]:
        """Return the published keys (RFC 7517 section 5)."""
        return self.keys.ring.jwks

    @property
    def metadata(self) -> ServerMetadata:
        """Return the metadata of RFC 8414 section 2."""
        return ServerMetadata(
            issuer=self.issuer,
            jwks_uri=f"{self.issuer}/.well-known/jwks.json",
            introspection_endpoint=f"{self.issuer}/introspect",
            introspection_endpoint_auth_methods_supported=_BASIC,
            revocation_endpoint=f"{self.issuer}/revoke",
            revocation_endpoint_auth_methods_supported=_BASIC,
            response_types_supported=[],
            grant_types_supported=[],
            service_documentation=f"{self.issuer}/docs" if self.has_docs else None,
        )
