"""Who has which role, and who may give or take it: somebody who has it himself, or who may do everything."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from backend.access.authority import ensure_admin_remains, ensure_outranks, reload_actor
from backend.audit import audit
from backend.sessions.user_cache import UserCache
from database.engine import Database, Db
from database.users import UserWithAccess
from models.admin.roles import MOST_ROLES
from models.context.audit import Actor, Event
from models.errors import InsufficientScope, RoleNotFound, TooManyRoles, UserNotFound
from models.values.permission import ADMIN_ROLE, Permission


@dataclass(frozen=True, slots=True)
class RoleAssignments:
    """Gives and takes roles."""

    database: Database
    user_cache: UserCache

    async def assign(self, actor: Actor, user_id: UUID, name: str) -> None:
        """The user has the role from the next request on; nothing happens when he has it.

        Raises:
            UserNotFound, RoleNotFound: one of the two is not there.
            TooManyRoles: the user's token would grow too long.
            InsufficientScope: the actor has not got the role, and may not do everything either.
            Unavailable: a server is away.
        """
        async with self.user_cache.changing(user_id), self.database.transaction() as db:
            member, acting = await _locked(db, actor, user_id, name)
            if name not in member.roles and len(member.roles) >= MOST_ROLES:
                raise TooManyRoles
            if await db.roles.give(user_id, name):
                await audit(db, Event.ROLE_GIVEN, acting, user_id, role=name)

    async def revoke(self, actor: Actor, user_id: UUID, name: str) -> None:
        """The user has the role no longer, from the next request on; nothing happens when he has it not.

        Raises:
            UserNotFound, RoleNotFound: one of the two is not there.
            LastAdministrator: nobody would be left to manage the others.
            InsufficientScope: the actor has not got the role, or the user may do more than he.
            Unavailable: a server is away.
        """
        async with self.user_cache.changing(user_id), self.database.transaction() as db:
            member, acting = await _locked(db, actor, user_id, name)
            ensure_outranks(acting, member)
            if not await db.roles.take(user_id, name):
                return
            if name == ADMIN_ROLE:
                await ensure_admin_remains(db)
            await audit(db, Event.ROLE_TAKEN, acting, user_id, role=name)


async def _locked(db: Db, actor: Actor, user_id: UUID, name: str) -> tuple[UserWithAccess, Actor]:
    """Lock a user and the role that he is given or loses; return him, and the actor as he is then: he may have waited.

    A role is more than its permissions, for other services may ask for its name.

    Raises:
        UserNotFound, RoleNotFound: one of the two is not there.
        InsufficientScope: the actor has not got the role, and may not do everything either.
    """
    member = await db.users.locked_member(user_id)
    if member is None:
        raise UserNotFound
    if await db.roles.locked(name) is None:
        raise RoleNotFound
    acting = await reload_actor(db, actor, Permission.ROLE_WRITE)
    if name not in acting.roles and not acting.permissions.issuperset(await db.roles.all_permissions()):
        raise InsufficientScope("Only somebody who has this role himself, or an administrator, gives or takes it.")
    return member, acting
