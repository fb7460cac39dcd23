"""What administrators do with accounts: search, invite, block, delete, and end sessions."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from uuid import UUID

from uuid_utils.compat import uuid7

from backend.access.authority import ensure_admin_remains, ensure_outranks, reload_actor
from backend.accounts.removal import delete_account
from backend.audit import audit
from backend.derived_keys import Keys
from backend.mail.notices import Notice, notify
from backend.passwords.hasher import is_unusable, unusable_password
from backend.sessions.profile import profile
from backend.sessions.service import to_user_session
from database.engine import Database
from database.repositories import Db
from database.users import NewUser, UserWithAccess
from models.admin.pagination import paginate
from models.admin.users import AdminUser, UserPage, UserQuery
from models.context.audit import Actor, Event
from models.context.masking import masked_name
from models.errors import EmailTaken, LoginTaken, SessionNotFound, UserNotFound
from models.responses.account import UserSession
from models.values.email import canonical_email
from models.values.locale import Locale
from models.values.permission import ADMIN_ROLE, USER_ROLE, Permission
from redis_tools.user_cache import UserCache


@dataclass(frozen=True, slots=True)
class AdminUserService:
    """Searches and changes accounts for administrators.

    Each method raises `Unavailable` while a server that it needs cannot be reached.
    """

    database: Database
    keys: Keys
    user_cache: UserCache

    async def search(self, query: UserQuery) -> UserPage:
        """Return a page of the matching accounts, newest first."""
        prefix, user_id = (None, None) if query.q is None else (_canonical_prefix(query.q), _parse_id(query.q))
        async with self.database.statement() as db:
            found = await db.user_search.list(query, prefix, user_id)
        page, next_cursor = paginate(found, query.limit, lambda account: account.user.id)
        return UserPage(items=[_to_admin_user(account) for account in page], next=next_cursor)

    async def get(self, user_id: UUID) -> AdminUser:
        """Return the account of that id.

        Raises:
            UserNotFound: there is none of that id.
        """
        async with self.database.statement() as db:
            account = await db.users.find_with_access(user_id)
        if account is None:
            raise UserNotFound
        return _to_admin_user(account)

    async def invite(self, actor: Actor, email: str, login: str, locale: Locale) -> AdminUser:
        """Create an account without a password, and mail its owner how to choose one.

        The mail carries no secret: the owner proves that the address receives mail when choosing the password by the
        code of a recovery.

        Raises:
            EmailTaken, LoginTaken: it belongs to another account.
        """
        new = NewUser(uuid7(), email, login, unusable_password(), locale)
        async with self.database.transaction() as db:
            outcome = await db.users.create(new, USER_ROLE)
            if outcome == "added":
                await notify(db, Notice.INVITATION, new.id)
                names = {"email": masked_name(email), "login": masked_name(login)}
                await audit(db, Event.USER_INVITED, actor, new.id, **names)
            account = await db.users.find_with_access(new.id)
        if outcome == "email_taken":
            raise EmailTaken
        if account is None:
            raise LoginTaken
        return _to_admin_user(account)

    async def block(self, actor: Actor, user_id: UUID) -> None:
        """End every session of a user and refuse every log-in; no change if the user is blocked already.

        Raises:
            UserNotFound: there is none of that id.
            InsufficientScope: the user may do more than the actor.
            LastAdministrator: no administrator would be left.
        """
        async with self._acting_on(actor, user_id) as (db, account):
            if await db.users.block(user_id):
                if ADMIN_ROLE in account.roles:
                    await ensure_admin_remains(db)
                await db.sessions.delete_all(user_id)
                await notify(db, Notice.ACCOUNT_BLOCKED, user_id)
                await audit(db, Event.USER_BLOCKED, actor, user_id)

    async def unblock(self, actor: Actor, user_id: UUID) -> None:
        """Allow log-ins again; sessions from before the block stay ended. No change if the user is not blocked.

        Raises:
            UserNotFound: there is none of that id.
            InsufficientScope: the user may do more than the actor.
        """
        async with self._acting_on(actor, user_id) as (db, _):
            if await db.users.unblock(user_id):
                await notify(db, Notice.ACCOUNT_UNBLOCKED, user_id)
                await audit(db, Event.USER_UNBLOCKED, actor, user_id)

    async def delete(self, actor: Actor, user_id: UUID) -> None:
        """Delete an account with everything but its lines in the audit log.

        Raises:
            UserNotFound: there is none of that id.
            InsufficientScope: the user may do more than the actor.
            LastAdministrator: no administrator would be left.
        """
        async with self._acting_on(actor, user_id) as (db, account):
            await delete_account(db, self.keys, account)
            await audit(db, Event.ACCOUNT_DELETED, actor, user_id)

    async def list_sessions(self, user_id: UUID) -> list[UserSession]:
        """Return the active sessions of a user, newest first.

        Raises:
            UserNotFound: there is none of that id.
        """
        async with self.database.statement() as db:
            if await db.users.find_by_id(user_id) is None:
                raise UserNotFound
            found = await db.sessions.list_of_user(user_id)
        return [to_user_session(session) for session in found]

    async def end_sessions(self, actor: Actor, user_id: UUID) -> None:
        """End every session of a user; from now on their tokens are refused.

        Raises:
            UserNotFound: there is none of that id.
            InsufficientScope: the user may do more than the actor.
        """
        async with self._acting_on(actor, user_id, Permission.SESSION_WRITE) as (db, _):
            await db.sessions.delete_all(user_id)
            await audit(db, Event.SESSIONS_ENDED, actor, user_id)

    async def end_session(self, actor: Actor, user_id: UUID, session_id: UUID) -> None:
        """End one session of a user.

        Raises:
            UserNotFound, SessionNotFound: there is none of that id.
            InsufficientScope: the user may do more than the actor.
        """
        async with self._acting_on(actor, user_id, Permission.SESSION_WRITE) as (db, _):
            if not await db.sessions.delete(session_id, user_id):
                raise SessionNotFound("GET /admin/users/{user_id}/sessions lists the active ones.")
            await audit(db, Event.SESSION_ENDED, actor, user_id, session=str(session_id))

    @asynccontextmanager
    async def _acting_on(
        self, actor: Actor, user_id: UUID, needed: Permission = Permission.USER_WRITE
    ) -> AsyncIterator[tuple[Db, UserWithAccess]]:
        """Open a transaction with the user's row locked; every process sees its effect once the block is left."""
        async with self.user_cache.invalidating(user_id), self.database.transaction() as db:
            account = await db.users.find_for_update(user_id)
            if account is None:
                raise UserNotFound
            ensure_outranks(await reload_actor(db, actor, needed), account)
            yield db, account


def _canonical_prefix(typed: str) -> str:
    """Return the prefix of the stored logins and addresses to search; a whole address is brought to canonical form."""
    with suppress(ValueError):
        return canonical_email(typed)
    return typed.lower()


def _parse_id(typed: str) -> UUID | None:
    with suppress(ValueError):
        return UUID(typed)
    return None


def _to_admin_user(account: UserWithAccess) -> AdminUser:
    return AdminUser(
        **profile(account).model_dump(),
        blocked_at=account.user.blocked_at,
        has_password=not is_unusable(account.user.password_hash),
    )
