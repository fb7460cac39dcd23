"""What is removed with an account, whether its owner or an administrator deletes it."""

from __future__ import annotations

from backend.access.authority import ensure_admin_remains
from backend.derived_keys import Keys
from backend.protection.code_length_ladder import ladder_subjects
from database.repositories import Db
from database.users import UserWithAccess
from models.values.permission import ADMIN_ROLE


async def delete_account(db: Db, keys: Keys, account: UserWithAccess) -> None:
    """Delete an account with everything that belongs to it; its row has to be locked.

    Raises:
        LastAdministrator: no administrator would be left who is not blocked.
    """
    await db.ladder.delete_of_subjects(ladder_subjects(account.user, keys))
    await db.outbox.delete_of_user(account.user.id)
    await db.users.delete(account.user.id)
    if ADMIN_ROLE in account.roles:
        await ensure_admin_remains(db)
