"""What protects the mighty: nobody acts on somebody who may do more than himself, and one administrator remains."""

from __future__ import annotations

from dataclasses import replace

from database.engine import Db
from database.users import UserWithAccess
from models.context.audit import Actor
from models.errors import InsufficientScope, LastAdministrator
from models.values.permission import Permission


async def reload_actor(db: Db, actor: Actor, needed: Permission) -> Actor:
    """The actor as he is once the locks of an act are had: he may have been demoted while he waited for them.

    Raises:
        InsufficientScope: he may not do it any more.
    """
    member = await db.users.member(actor.user_id) if actor.user_id else None
    if member is None or member.user.blocked or needed not in member.permissions:
        raise InsufficientScope(f"This needs {needed}.")
    return replace(actor, permissions=frozenset(member.permissions), roles=frozenset(member.roles))


def ensure_outranks(actor: Actor, member: UserWithAccess) -> None:
    """Refuse to act on an account that may do what the actor may not; the account's row has to be locked.

    Raises:
        InsufficientScope: it may.
    """
    if not actor.permissions.issuperset(member.permissions):
        raise InsufficientScope("This user may do what you may not; somebody who may has to do it.")


async def ensure_admin_remains(db: Db) -> None:
    """Refuse what has left no administrator who is not blocked; called after the change, in its transaction.

    Of several who make administrators fewer at the same moment each waits for the one before to commit, and counts
    after it.

    Raises:
        LastAdministrator: there would be none.
    """
    await db.administrators.lock()
    if not await db.administrators.count():
        raise LastAdministrator
