"""The account of whoever is signed in."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from backend.profile import profile
from database.engine import Database
from models.answers import UserProfile
from models.errors import InvalidAccessToken


@dataclass(frozen=True, slots=True)
class AccountService:
    """Shows the own account."""

    database: Database

    async def show(self, subject: str) -> UserProfile:
        """The account as it is now, whatever the token still says.

        Raises:
            InvalidAccessToken: the account is gone or blocked since the token was made.
            Unavailable: PostgreSQL is away.
        """
        async with self.database.statement() as db:
            member = await db.users.member(UUID(subject))
        if member is None or member.user.blocked:
            raise InvalidAccessToken
        return profile(member)
