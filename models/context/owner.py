"""Whoever is signed in and acts on the own account."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from models.context.audit import Actor
from models.context.client import ClientInfo
from models.responses.account import UserProfile


@dataclass(frozen=True, slots=True)
class Owner:
    """A user with an access token: which account, by which session, from where."""

    user: UserProfile
    session_id: UUID
    actor: Actor
    client: ClientInfo

    @property
    def user_id(self) -> UUID:
        """Whose account it is."""
        return self.user.id
