"""Another e-mail address: it takes effect when its mailbox has been read, and the old one is told."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from backend.accounts.reauthentication import Reauthentication
from backend.audit import audit
from backend.flows.engine import FlowEngine
from backend.mail.notices import Notice, notify
from backend.mail.sealed_recipient import RecipientEncryptor
from backend.protection.known_devices import KnownDevices
from backend.protection.rate_limits import RateLimits
from backend.sessions.profile import profile
from backend.sessions.user_cache import UserCache
from database.engine import Db
from database.users import UserWithAccess
from models.context.audit import Event
from models.context.client import FlowResult
from models.context.masking import masked_name
from models.context.owner import Owner
from models.errors import FlowGone
from models.responses.account import UserProfile
from models.responses.flows import FlowOpened
from models.values.flow import EMAIL, Step


@dataclass(frozen=True, slots=True)
class EmailChangeService:
    """Lets an owner move the account to another mailbox."""

    flows: FlowEngine
    limits: RateLimits
    devices: KnownDevices
    user_cache: UserCache
    reauthentication: Reauthentication
    envelopes: RecipientEncryptor

    async def start(self, owner: Owner, password: str, email: str) -> FlowOpened:
        """Check the password and have a code mailed to the new address. Whether it is free is not looked at, nor told.

        Raises:
            WrongPassword, InvalidAccessToken, TooManyRequests, Unavailable: see `Reauthentication.verify`.
        """
        self.flows.refuse_when_mail_is_stuck()
        user = await self.reauthentication.verify(owner, password)
        permit = await self.limits.charge_start(EMAIL.name, owner.client)
        wanted = {
            "user_id": str(user.id),
            "version": user.version,
            "email": email,
            "locale": user.locale.value,
        }
        opened = await self.flows.begin(EMAIL.held_by(user.id), permit, email, wanted)
        self.flows.audit_buffer.record(Event.EMAIL_CHANGE_STARTED, owner.actor, user.id, email=masked_name(email))
        return opened

    async def confirm(self, owner: Owner, session_key: str, code: str) -> FlowResult[UserProfile]:
        """Trade the mailed code for the change; what was begun with the old address is dead.

        Raises:
            FlowGone: also when the account was changed since the start, or somebody else has taken the address.
            WrongCode, StepOutOfOrder, TooManyRequests, Unavailable: see `FlowEngine.passing`.
        """
        spec = EMAIL.held_by(owner.user_id)
        async with self.flows.passing(spec, session_key, Step.CODE, owner.client, code) as passage:
            async with self.user_cache.changing(owner.user_id), passage.effect() as db:
                member = await self._change(db, owner, passage.data)
            if member is None:
                raise FlowGone
        return self.devices.remember(owner.client, member.user.email, member.user.login, profile(member))

    async def resend(self, owner: Owner, session_key: str) -> FlowOpened:
        """Have another code mailed; see `FlowEngine.resend`."""
        return await self.flows.resend(EMAIL.held_by(owner.user_id), session_key, owner.client)

    async def _change(self, db: Db, owner: Owner, wanted: Mapping[str, Any]) -> UserWithAccess | None:
        """The account with its new address; None if it is not what it was, or the address is not free any more."""
        member = await db.users.find_for_update(owner.user_id)
        if member is None or member.user.blocked or member.user.version != wanted["version"]:
            return None
        old = member.user
        if not await db.users.set_email(old.id, wanted["email"]):
            return None
        await notify(db, Notice.EMAIL_CHANGED, old.id, self.envelopes.seal(old))
        await audit(
            db,
            Event.EMAIL_CHANGED,
            owner.actor,
            old.id,
            old=masked_name(old.email),
            new=masked_name(wanted["email"]),
        )
        return await db.users.find_with_access(old.id)
