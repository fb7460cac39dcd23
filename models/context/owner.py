"""The signed-in user who acts on their own account."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from models.context.audit import Actor
from models.context.client import ClientInfo
from models.responses.account import UserProfile


@dataclass(frozen=True, slots=True)
class Owner:
    """A user with an access token: the account, the session, the actor and the client."""

    user: UserProfile
    session_id: UUID
    actor: Actor
    client: ClientInfo

    @property
    def user_id(self) -> UUID:
        """Return the id of the account."""
        return self.user.id
