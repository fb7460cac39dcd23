"""What users change in their own account: password, login, language of mails."""

from __future__ import annotations

from dataclasses import dataclass

from backend.accounts.reauthentication import Reauthentication, lock_if_unchanged
from backend.audit import audit
from backend.mail.notices import Notice, notify
from backend.passwords.hasher import PasswordHasher
from backend.passwords.policy import refuse_common, refuse_own_words
from backend.protection.rate_limits import RateLimits
from backend.sessions.profile import profile
from database.engine import Database
from models.context.audit import Event
from models.context.masking import masked_name
from models.context.owner import Owner
from models.errors import InvalidAccessToken, LoginTaken
from models.responses.account import UserProfile
from models.values.locale import Locale
from redis_tools.user_cache import UserCache


@dataclass(frozen=True, slots=True)
class AccountService:
    """Changes an account for its owner, effective at once."""

    database: Database
    user_cache: UserCache
    limits: RateLimits
    hasher: PasswordHasher
    reauthentication: Reauthentication
    service_name: str

    async def change_password(self, owner: Owner, current: str, password: str) -> None:
        """Set a new password, end every other session, and notify the owner by mail.

        Raises:
            WeakPassword: a common password, or one made mostly of the user's own names.
            WrongPassword, InvalidAccessToken, TooManyRequests, Unavailable: see `Reauthentication.verify`.
        """
        refuse_common(password)
        user = await self.reauthentication.verify(owner, current)
        refuse_own_words(password, user.email, user.login, self.service_name)
        password_hash = await self.hasher.hash(password)
        async with self.user_cache.invalidating(user.id), self.database.transaction() as db:
            await lock_if_unchanged(db, user)
            await db.users.set_password(user.id, password_hash)
            await db.sessions.delete_all(user.id, except_session=owner.session_id)
            await notify(db, Notice.PASSWORD_CHANGED, user.id)
            await audit(db, Event.PASSWORD_CHANGED, owner.actor, user.id)

    async def change_login(self, owner: Owner, password: str, login: str) -> UserProfile:
        """Set a new login, and notify the owner by mail.

        Raises:
            LoginTaken: it belongs to another account.
            WrongPassword, InvalidAccessToken, TooManyRequests, Unavailable: see `Reauthentication.verify`.
        """
        user = await self.reauthentication.verify(owner, password)
        async with self.user_cache.invalidating(user.id), self.database.transaction() as db:
            await lock_if_unchanged(db, user)
            if not await db.users.set_login(user.id, login):
                raise LoginTaken
            await notify(db, Notice.LOGIN_CHANGED, user.id)
            await audit(db, Event.LOGIN_CHANGED, owner.actor, user.id, old=masked_name(user.login))
            account = await db.users.find_with_access(user.id)
        if account is None:
            raise InvalidAccessToken
        return profile(account)

    async def change_locale(self, owner: Owner, locale: Locale) -> UserProfile:
        """Set the language of mails; setting the current one is no change, and leaves no line in the audit log.

        Raises:
            InvalidAccessToken: the account was deleted a moment ago.
            TooManyRequests: too many steps from this address.
            Unavailable: a server is unavailable.
        """
        await self.limits.charge_step(owner.client)
        async with self.user_cache.invalidating(owner.user_id), self.database.transaction() as db:
            changed = await db.users.set_locale(owner.user_id, locale)
            account = await db.users.find_with_access(owner.user_id)
            if account is None:
                raise InvalidAccessToken
            if changed:
                await audit(db, Event.LOCALE_CHANGED, owner.actor, owner.user_id, locale=locale.value)
        return profile(account)
