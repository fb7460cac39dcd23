"""An account as its owner sees it."""

from __future__ import annotations

from uuid import UUID

from database.engine import Database
from database.users import UserWithAccess
from models.responses.account import UserProfile
from redis_tools.user_cache import SignedInUser


def profile(account: UserWithAccess) -> UserProfile:
    """Return what the owner may see: everything except the password's hash and the service's own bookkeeping."""
    user = account.user
    return UserProfile(
        id=user.id,
        email=user.email,
        login=user.login,
        locale=user.locale,
        roles=list(account.roles),
        permissions=list(account.permissions),
        created_at=user.created_at,
    )


async def read_signed_in(database: Database, user_id: UUID) -> SignedInUser | None:
    """Return a user and the active sessions for the user cache; None for an account that is blocked or gone."""
    async with database.statement() as db:
        found = await db.users.find_with_sessions(user_id)
    if found is None or found[0].user.blocked:
        return None
    account, sids = found
    return SignedInUser(profile(account), frozenset(sids))
