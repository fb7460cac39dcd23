"""Two rules of every privileged act: it never reaches a user who may do more, and one administrator always remains."""

from __future__ import annotations

from dataclasses import replace

from database.repositories import Db
from database.users import UserWithAccess
from models.context.audit import Actor
from models.errors import InsufficientScope, LastAdministrator
from models.values.permission import ADMIN_ROLE, Permission


async def reload_actor(db: Db, actor: Actor, needed: Permission) -> Actor:
    """Return the actor with current roles and permissions; called under the locks of the act.

    An actor may lose privileges while the act waits for its locks.

    Raises:
        InsufficientScope: the actor no longer has the permission.
    """
    account = await db.users.find_with_access(actor.user_id) if actor.user_id else None
    if account is None or account.user.blocked or needed not in account.permissions:
        raise InsufficientScope(f"This needs {needed}.")
    return replace(actor, permissions=frozenset(account.permissions), roles=frozenset(account.roles))


def ensure_outranks(actor: Actor, account: UserWithAccess) -> None:
    """Refuse to act on a user who may do what the actor may not; the user's row has to be locked.

    Raises:
        InsufficientScope: the user has a permission that the actor lacks.
    """
    if not actor.permissions.issuperset(account.permissions):
        raise InsufficientScope("This user has a permission that you lack. Ask an administrator who has it.")


async def ensure_admin_remains(db: Db) -> None:
    """Refuse a change that leaves no administrator who is not blocked; called after the change, in its transaction.

    Of several such changes at the same moment each waits for the one before to commit, and counts after it.

    Raises:
        LastAdministrator: none would be left.
    """
    await db.roles.lock(ADMIN_ROLE)
    if not await db.roles.count_admins():
        raise LastAdministrator
