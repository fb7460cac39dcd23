"""Change of the e-mail address: a code mailed to the new address confirms it, and the old one is notified."""

from __future__ import annotations

from dataclasses import dataclass

from backend.accounts.reauthentication import Reauthentication
from backend.audit import audit
from backend.flows.engine import FlowEngine
from backend.mail.notices import Notice, notify
from backend.mail.sealed_recipient import RecipientEncryptor
from backend.protection.known_devices import KnownDevices
from backend.protection.rate_limits import RateLimits
from backend.sessions.profile import profile
from database.repositories import Db
from database.users import UserWithAccess
from models.context.audit import Event
from models.context.client import FlowResult
from models.context.masking import masked_name
from models.context.owner import Owner
from models.errors import FlowGone
from models.responses.account import UserProfile
from models.responses.flows import FlowOpened
from models.values.flow import EMAIL
from models.values.flow_data import EmailChangeData
from redis_tools.user_cache import UserCache


@dataclass(frozen=True, slots=True)
class EmailChangeService:
    """Lets owners change the address of their account."""

    flows: FlowEngine
    limits: RateLimits
    devices: KnownDevices
    user_cache: UserCache
    reauthentication: Reauthentication
    recipient_encryptor: RecipientEncryptor

    async def start_email_change(self, owner: Owner, password: str, email: str) -> FlowOpened:
        """Check the password and have a code mailed to the new address.

        The answer does not depend on whether the address is free: that would disclose who has an account.

        Raises:
            WrongPassword, InvalidAccessToken, TooManyRequests, Unavailable: see `Reauthentication.verify`.
        """
        self.flows.refuse_when_mail_is_stuck()
        user = await self.reauthentication.verify(owner, password)
        permit = await self.limits.charge_start(EMAIL.name, owner.client)
        data = EmailChangeData(user_id=user.id, version=user.version, email=email, locale=user.locale)
        opened = await self.flows.start_flow(EMAIL.held_by(user.id), permit, data)
        self.flows.audit_buffer.record(Event.EMAIL_CHANGE_STARTED, owner.actor, user.id, email=masked_name(email))
        return opened

    async def confirm_email_change(self, owner: Owner, session_key: str, code: str) -> FlowResult[UserProfile]:
        """Change the address if the code is right; flows that were started with the old address end.

        Raises:
            FlowGone: also when the account was changed since the start, or another account has taken the address.
            WrongCode, StepOutOfOrder, TooManyRequests, Unavailable: see `FlowEngine.claim_code_step`.
        """
        spec = EMAIL.held_by(owner.user_id)
        async with self.flows.claim_code_step(spec, session_key, code, owner.client) as step:
            async with self.user_cache.invalidating(owner.user_id), step.transaction() as db:
                member = await self._change_email(db, owner, step.data)
            if member is None:
                raise FlowGone
        return self.devices.remember(owner.client, member.user.email, member.user.login, profile(member))

    async def _change_email(self, db: Db, owner: Owner, data: EmailChangeData) -> UserWithAccess | None:
        """Return the account with its new address; None if the account was changed or the address is taken."""
        member = await db.users.find_for_update(owner.user_id)
        if member is None or member.user.blocked or member.user.version != data.version:
            return None
        old = member.user
        if not await db.users.set_email(old.id, data.email):
            return None
        await notify(db, Notice.EMAIL_CHANGED, old.id, self.recipient_encryptor.encrypt(old))
        await audit(
            db, Event.EMAIL_CHANGED, owner.actor, old.id, old=masked_name(old.email), new=masked_name(data.email)
        )
        return await db.users.find_with_access(old.id)
