"""What protects the mighty: nobody acts on somebody who may do more than himself, and one administrator remains."""

from __future__ import annotations

from database.engine import Db
from database.users import Member
from models.audit import Actor
from models.errors import InsufficientScope, LastAdministrator


def refuse_above(actor: Actor, member: Member) -> None:
    """Refuse to act on an account that may do what the actor may not; the account's row has to be locked.

    Raises:
        InsufficientScope: it may.
    """
    if not actor.permissions.issuperset(member.permissions):
        raise InsufficientScope("This user may do what you may not; somebody who may has to do it.")


async def keep_one(db: Db) -> None:
    """Refuse what has left no administrator who is not blocked; called after the change, in its transaction.

    Of several who make administrators fewer at the same moment each waits for the one before to commit, and counts
    after it.

    Raises:
        LastAdministrator: there would be none.
    """
    await db.administrators.lock()
    if not await db.administrators.count():
        raise LastAdministrator
