"""Asks signed-in users for their password again: an access token alone does not change how they log in."""

from __future__ import annotations

from dataclasses import dataclass

from backend.audit import AuditBuffer
from backend.passwords.hasher import PasswordHasher
from backend.protection.rate_limits import RateLimits
from database.engine import Database
from database.repositories import Db
from database.users import User, UserWithAccess
from models.context.audit import Event
from models.context.owner import Owner
from models.errors import InvalidAccessToken, Unavailable, WrongPassword

_GONE = "The account was deleted or blocked."


@dataclass(frozen=True, slots=True)
class Reauthentication:
    """Verifies the password of a signed-in user."""

    database: Database
    limits: RateLimits
    hasher: PasswordHasher
    audit_buffer: AuditBuffer

    async def verify(self, owner: Owner, password: str) -> User:
        """Return the owner's account if the password is right.

        Raises:
            WrongPassword: it is wrong.
            InvalidAccessToken: the account was deleted a moment ago.
            TooManyRequests: too many steps from this address, or too many wrong passwords.
            Unavailable: a server is unavailable, or too many hashes wait.
        """
        self.hasher.refuse_when_busy()
        permit = await self.limits.charge_own_password(owner.client, owner.user_id)
        try:
            async with self.database.statement() as db:
                user = await db.users.find_by_id(owner.user_id)
            # The connection is back in the pool: none is held while the hash is computed.
            right = await self.hasher.verify(password, user.password_hash if user else None)
        except Unavailable:
            await self.limits.refund(permit)
            raise
        if user is None:
            raise InvalidAccessToken(_GONE)
        if not right:
            self.audit_buffer.record(Event.PASSWORD_REFUSED, owner.actor, user.id)
            raise WrongPassword
        await self.limits.refund(permit)
        return user


async def lock_if_unchanged(db: Db, user: User) -> UserWithAccess:
    """Lock the account for a change and return it, if it has not changed since its password was verified.

    Raises:
        WrongPassword: the password or the address has changed meanwhile.
        InvalidAccessToken: the account was deleted or blocked meanwhile.
    """
    account = await db.users.find_for_update(user.id)
    if account is None or account.user.blocked:
        raise InvalidAccessToken(_GONE)
    if account.user.version != user.version:
        raise WrongPassword("The account was changed a moment ago. Send its current password.")
    return account
