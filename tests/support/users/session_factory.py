"""Sessions that are simply there: written into PostgreSQL, where a log-in each would take minutes."""

from __future__ import annotations

import uuid
from datetime import timedelta

from backend.derived_keys import Keys
from backend.tokens.refresh_tokens import RefreshTokens
from jwt_tools.create import AccessTokenClaims, create_access_token
from tests.support.service.process import Service
from tests.support.state.database_inspector import DatabaseInspector
from tests.support.users.people import Person, Tokens
from tests.support.values.token_forger import stolen_key


class SessionFactory:
    """Opens sessions as the service itself would have written them down."""

    def __init__(self, service: Service, db: DatabaseInspector) -> None:
        self._issuer = service.environment["ISSUER"]
        self._db = db
        self._key = stolen_key(service, db)
        self._refresh_tokens = RefreshTokens(Keys([service.environment["SECRET_KEYS"]]))

    def create(self, person: Person) -> Tokens:
        """A session of somebody who has an account."""
        refresh = self._refresh_tokens.create(uuid.uuid4())
        user_id = self._db.value("SELECT id FROM users WHERE email = $1", person.email)
        self._db.rows(
            "INSERT INTO sessions (id, user_id, token, user_agent, ends_at) VALUES ($1, $2, $3, 'planted', now() + $4)",
            refresh.session_id,
            user_id,
            refresh.digest,
            timedelta(days=1),
        )
        claims = AccessTokenClaims(
            str(user_id), "web", str(refresh.session_id), 1, ("pwd", "otp"), person.login, ("user",), ()
        )
        access = create_access_token(self._key, claims, issuer=self._issuer, audience=self._issuer, ttl=600)
        return Tokens(access, str(refresh))
