"""The password once more: who changes how somebody logs in has to know it, a token alone does not do."""

from __future__ import annotations

from dataclasses import dataclass

from backend.audit import AuditBuffer
from backend.passwords.hasher import PasswordHasher
from backend.protection.rate_limits import RateLimits
from database.engine import Database, Db
from database.users import User, UserWithAccess
from models.context.audit import Event
from models.context.owner import Owner
from models.errors import InvalidAccessToken, Unavailable, WrongPassword

_GONE = "The account is gone, or blocked."


@dataclass(frozen=True, slots=True)
class Reauthentication:
    """Checks the password of somebody who is signed in."""

    database: Database
    limits: RateLimits
    hasher: PasswordHasher
    audit_buffer: AuditBuffer

    async def verify(self, owner: Owner, password: str) -> User:
        """The owner's account, the password being right.

        Raises:
            WrongPassword: it is wrong.
            InvalidAccessToken: the account was deleted a moment ago.
            TooManyRequests: too many steps from this address, or too many wrong passwords.
            Unavailable: a server is away, or too many hashes wait.
        """
        self.hasher.refuse_when_busy()
        permit = await self.limits.charge_own_password(owner.client, owner.user_id)
        try:
            async with self.database.statement() as db:
                user = await db.users.by_id(owner.user_id)
            # The connection is given back: no transaction is open while the hash is computed.
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
    """The account, locked in the transaction that is about to change it, if it is as it was at the password's check.

    Raises:
        WrongPassword: password or address were changed meanwhile.
        InvalidAccessToken: the account was deleted or blocked meanwhile.
    """
    member = await db.users.locked_member(user.id)
    if member is None or member.user.blocked:
        raise InvalidAccessToken(_GONE)
    if member.user.version != user.version:
        raise WrongPassword("The account was changed a moment ago. Give the password that it has now.")
    return member
