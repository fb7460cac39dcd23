"""Deletion of the own account: a mailed code, and then nothing is left but masked lines of the audit log."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from backend.accounts.removal import delete_account
from backend.audit import audit
from backend.flows.engine import FlowEngine
from backend.keys import Keys
from backend.mail.notices import Notice, notify
from backend.mail.sealed_recipient import RecipientEncryptor
from backend.protection.known_devices import KnownDevices
from backend.protection.rate_limits import RateLimits
from backend.sessions.user_cache import UserCache
from database.engine import Database, Db
from models.context.audit import Event
from models.context.masking import masked_name
from models.context.owner import Owner
from models.errors import FlowGone, InvalidAccessToken
from models.responses.flows import FlowOpened
from models.values.flow import DELETE, Step


@dataclass(frozen=True, slots=True)
class DeletionService:
    """Lets an owner delete the account."""

    database: Database
    flows: FlowEngine
    limits: RateLimits
    devices: KnownDevices
    keys: Keys
    user_cache: UserCache
    envelopes: RecipientEncryptor

    async def start(self, owner: Owner) -> FlowOpened:
        """Have a code mailed to the account's address.

        Raises:
            InvalidAccessToken: the account was deleted a moment ago.
            TooManyRequests: too many deletions begun from this address.
            Unavailable: a server is away.
        """
        self.flows.refuse_when_mail_is_stuck()
        device = self.devices.recognise(owner.client.device_tokens, owner.user.email)
        permit = await self.limits.charge_start(DELETE.name, owner.client, device)
        async with self.database.statement() as db:
            user = await db.users.find_by_id(owner.user_id)
        if user is None:
            raise InvalidAccessToken
        doomed = {"user_id": str(user.id), "version": user.version, "email": user.email, "locale": user.locale.value}
        opened = await self.flows.begin(DELETE.held_by(user.id), permit, user.email, doomed)
        self.flows.audit_buffer.record(Event.DELETION_STARTED, owner.actor, user.id)
        return opened

    async def confirm(self, owner: Owner, session_key: str, code: str) -> None:
        """Trade the mailed code for the end of the account.

        Raises:
            FlowGone: also when the account's password or address was changed since the start.
            LastAdministrator: no administrator would be left; the same code works once there is another one.
            WrongCode, StepOutOfOrder, TooManyRequests, Unavailable: see `FlowEngine.passing`.
        """
        spec = DELETE.held_by(owner.user_id)
        async with self.flows.passing(spec, session_key, Step.CODE, owner.client, code) as passage:
            async with self.user_cache.changing(owner.user_id), passage.effect() as db:
                is_deleted = await self._delete(db, owner, passage.data)
            if not is_deleted:
                raise FlowGone

    async def resend(self, owner: Owner, session_key: str) -> FlowOpened:
        """Have another code mailed; see `FlowEngine.resend`."""
        return await self.flows.resend(DELETE.held_by(owner.user_id), session_key, owner.client)

    async def _delete(self, db: Db, owner: Owner, doomed: Mapping[str, Any]) -> bool:
        member = await db.users.find_for_update(owner.user_id)
        if member is None or member.user.blocked or member.user.version != doomed["version"]:
            return False
        user = member.user
        await delete_account(db, self.keys, member)
        await notify(db, Notice.ACCOUNT_DELETED, user.id, self.envelopes.seal(user))
        await audit(db, Event.ACCOUNT_DELETED, owner.actor, user.id, email=masked_name(user.email))
        return True
