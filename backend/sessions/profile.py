"""An account as its owner sees it."""

from __future__ import annotations

from database.users import UserWithAccess
from models.responses.account import UserProfile


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
