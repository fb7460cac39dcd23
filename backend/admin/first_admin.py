"""Creates administrators from the command line: over the network only an administrator could create the first one."""

from __future__ import annotations

from dataclasses import dataclass

from uuid_utils.compat import uuid7

from backend.audit import audit
from backend.passwords.hasher import hash_password
from backend.passwords.policy import refuse_common, refuse_own_words
from database.engine import Database
from database.users import NewUser, User
from models.context.audit import COMMAND_LINE, Event
from models.errors import EmailTaken, LoginTaken
from models.values.locale import Locale
from models.values.permission import ADMIN_ROLE, USER_ROLE
from redis_tools.user_cache import UserCache


@dataclass(frozen=True, slots=True)
class AdministratorService:
    """Creates and promotes administrators.

    Each method raises `Unavailable` while a server that it needs cannot be reached.
    """

    database: Database
    user_cache: UserCache
    iterations: int
    service_name: str

    async def exists(self) -> bool:
        """Return whether an administrator exists who is not blocked."""
        async with self.database.statement() as db:
            return await db.roles.count_admins() > 0

    async def find_account(self, email: str) -> User | None:
        """Return the account of that address."""
        async with self.database.statement() as db:
            return await db.users.find_by_email(email)

    async def create(self, email: str, login: str, password: str) -> None:
        """Create an administrator; the operator need not prove that the address receives mail.

        Raises:
            WeakPassword: as at a registration.
            EmailTaken: the address has an account, which can be promoted instead.
            LoginTaken: the login belongs to another account.
        """
        refuse_common(password)
        refuse_own_words(password, email, login, self.service_name)
        new = NewUser(
            id=uuid7(),
            email=email,
            login=login,
            password_hash=hash_password(password, self.iterations),
            locale=Locale.EN,
        )
        async with self.database.transaction() as db:
            outcome = await db.users.create(new, USER_ROLE)
            if outcome == "added":
                await db.roles.assign(new.id, ADMIN_ROLE)
                await audit(db, Event.ADMINISTRATOR_CREATED, COMMAND_LINE, new.id)
        if outcome == "email_taken":
            raise EmailTaken
        if outcome == "login_taken":
            raise LoginTaken

    async def promote(self, user: User) -> None:
        """Assign the role ``admin`` to an existing account, effective from its owner's next request."""
        async with self.user_cache.invalidating(user.id), self.database.transaction() as db:
            if await db.roles.assign(user.id, ADMIN_ROLE):
                await audit(db, Event.ROLE_GIVEN, COMMAND_LINE, user.id, role=ADMIN_ROLE)
