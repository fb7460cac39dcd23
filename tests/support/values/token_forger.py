"""Somebody who has stolen the signing key of a service and signs what he likes; or has only its public half."""

from __future__ import annotations

from typing import Any

import jwt

from backend.derived_keys import Keys
from jwt_tools.keys import SigningKey
from tests.support.service.process import Service
from tests.support.state.database_inspector import DatabaseInspector


def stolen_key(service: Service, db: DatabaseInspector) -> SigningKey:
    """The key that signs, as PostgreSQL and the secret give it away together."""
    sealed = db.value("SELECT private_key FROM signing_keys WHERE signs_from <= now() ORDER BY signs_from DESC")
    return SigningKey.from_der(Keys([service.environment["SECRET_KEYS"]]).encryptor("signing keys").decrypt(sealed))


class TokenForger:
    """Makes other tokens out of a good one."""

    def __init__(self, key: SigningKey, original: str) -> None:
        self.key = key
        self.claims: dict[str, Any] = jwt.decode(original, options={"verify_signature": False})

    def token(self, headers: dict[str, Any] | None = None, **claims: Any) -> str:
        """Signed with the right key; a claim given as ... is left out."""
        body = {name: value for name, value in {**self.claims, **claims}.items() if value is not ...}
        headers = {"typ": "at+jwt", "kid": self.key.kid, **(headers or {})}
        return jwt.encode(body, self.key.private_key, algorithm=self.key.algorithm, headers=headers)
