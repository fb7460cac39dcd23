"""Tokens for a person who has proved who they are."""

from __future__ import annotations

import time
from dataclasses import dataclass
from uuid import uuid4

from database.users import Member
from jwt_tools.create import Grant, create_access_token
from jwt_tools.keys import KeyRing
from models.answers import Tokens


@dataclass(frozen=True, slots=True)
class TokenService:
    """Issues access tokens."""

    ring: KeyRing
    issuer: str
    audience: str
    client_id: str
    ttl: int

    def issue(self, member: Member) -> Tokens:
        """Tokens for somebody who has just given a password and a mailed code (``pwd``, ``otp``: RFC 8176)."""
        grant = Grant(
            subject=str(member.user.id),
            client_id=self.client_id,
            sid=uuid4().hex,
            auth_time=int(time.time()),
            amr=("pwd", "otp"),
            login=member.user.login,
            roles=member.roles,
            permissions=member.permissions,
        )
        token = create_access_token(self.ring, grant, issuer=self.issuer, audience=self.audience, ttl=self.ttl)
        return Tokens(access_token=token, expires_in=self.ttl)
