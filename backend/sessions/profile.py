"""An account as its owner may see it."""

from __future__ import annotations

from database.users import UserWithAccess
from models.responses.common import UserProfile


def profile(member: UserWithAccess) -> UserProfile:
    """Everything but the password's hash and what is the service's own business."""
    user = member.user
    return UserProfile(
        id=user.id,
        email=user.email,
        login=user.login,
        locale=user.locale,
        roles=list(member.roles),
        permissions=list(member.permissions),
        created_at=user.created_at,
    )
