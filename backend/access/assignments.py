"""Assigns roles to users and revokes them; only an actor who has the role, or may do everything, may do so."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from backend.access.authority import ensure_admin_remains, ensure_outranks, reload_actor
from backend.audit import audit
from database.engine import Database
from database.repositories import Db
from database.users import UserWithAccess
from models.admin.roles import MOST_ROLES
from models.context.audit import Actor, Event
from models.errors import InsufficientScope, RoleNotFound, TooManyRoles, UserNotFound
from models.values.permission import ADMIN_ROLE, Permission
from redis_tools.user_cache import UserCache


@dataclass(frozen=True, slots=True)
class RoleAssignments:
    """Assigns and revokes roles. Each method raises `Unavailable` while a server that it needs cannot be reached."""

    database: Database
    user_cache: UserCache

    async def assign(self, actor: Actor, user_id: UUID, name: str) -> None:
        """Assign a role, effective from the user's next request; no change if the user has it already.

        Raises:
            UserNotFound, RoleNotFound: there is no such user or role.
            TooManyRoles: the user's token would grow too long.
            InsufficientScope: the actor neither has the role nor may do everything.
        """
        async with self.user_cache.invalidating(user_id), self.database.transaction() as db:
            account, acting = await _locked(db, actor, user_id, name)
            if name not in account.roles and len(account.roles) >= MOST_ROLES:
                raise TooManyRoles
            if await db.roles.assign(user_id, name):
                await audit(db, Event.ROLE_GIVEN, acting, user_id, role=name)

    async def revoke(self, actor: Actor, user_id: UUID, name: str) -> None:
        """Revoke a role, effective from the user's next request; no change if the user does not have it.

        Raises:
            UserNotFound, RoleNotFound: there is no such user or role.
            LastAdministrator: no administrator would be left.
            InsufficientScope: the actor does not have the role, or the user may do more than the actor.
        """
        async with self.user_cache.invalidating(user_id), self.database.transaction() as db:
            account, acting = await _locked(db, actor, user_id, name)
            ensure_outranks(acting, account)
            if not await db.roles.revoke(user_id, name):
                return
            if name == ADMIN_ROLE:
                await ensure_admin_remains(db)
            await audit(db, Event.ROLE_TAKEN, acting, user_id, role=name)


async def _locked(db: Db, actor: Actor, user_id: UUID, name: str) -> tuple[UserWithAccess, Actor]:
    """Lock a user and a role; return the user, and the actor with the privileges that they have under the locks.

    Having the permissions of a role is not enough to assign it: other services may require the role by its name.

    Raises:
        UserNotFound, RoleNotFound: there is no such user or role.
        InsufficientScope: the actor neither has the role nor may do everything.
    """
    account = await db.users.find_for_update(user_id)
    if account is None:
        raise UserNotFound
    if await db.roles.find_for_update(name) is None:
        raise RoleNotFound
    acting = await reload_actor(db, actor, Permission.ROLE_WRITE)
    if name not in acting.roles and not acting.permissions.issuperset(await db.roles.list_permission_names()):
        raise InsufficientScope("Only an administrator, or a user who has this role, may assign or revoke it.")
    return account, acting
