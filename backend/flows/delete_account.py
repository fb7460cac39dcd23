"""Deletion of the own account: a mailed code; afterwards only masked lines of the audit log are left."""

from __future__ import annotations

from dataclasses import dataclass

from backend.accounts.removal import delete_account
from backend.audit import audit
from backend.derived_keys import Keys
from backend.flows.engine import FlowEngine
from backend.mail.notices import Notice, notify
from backend.mail.sealed_recipient import RecipientEncryptor
from backend.protection.known_devices import KnownDevices
from backend.protection.rate_limits import RateLimits
from database.engine import Database
from database.repositories import Db
from models.context.audit import Event
from models.context.masking import masked_name
from models.context.owner import Owner
from models.errors import FlowGone, InvalidAccessToken
from models.responses.flows import FlowOpened
from models.values.flow import DELETE
from models.values.flow_data import DeletionData
from redis_tools.user_cache import UserCache


@dataclass(frozen=True, slots=True)
class DeletionService:
    """Lets an owner delete the account."""

    database: Database
    flows: FlowEngine
    limits: RateLimits
    devices: KnownDevices
    keys: Keys
    user_cache: UserCache
    recipient_encryptor: RecipientEncryptor

    async def start_deletion(self, owner: Owner) -> FlowOpened:
        """Have a code mailed to the account's address.

        Raises:
            InvalidAccessToken: the account was deleted a moment ago.
            TooManyRequests: too many deletions were started from this address.
            Unavailable: a server is away.
        """
        self.flows.refuse_when_mail_is_stuck()
        device = self.devices.recognise(owner.client.device_tokens, owner.user.email)
        permit = await self.limits.charge_start(DELETE.name, owner.client, device)
        async with self.database.statement() as db:
            user = await db.users.find_by_id(owner.user_id)
        if user is None:
            raise InvalidAccessToken
        data = DeletionData(user_id=user.id, version=user.version, email=user.email, locale=user.locale)
        opened = await self.flows.start_flow(DELETE.held_by(user.id), permit, data)
        self.flows.audit_buffer.record(Event.DELETION_STARTED, owner.actor, user.id)
        return opened

    async def confirm_deletion(self, owner: Owner, session_key: str, code: str) -> None:
        """Delete the account if the code is right.

        Raises:
            FlowGone: also when the account's password or address was changed since the start.
            LastAdministrator: no administrator would be left; the same code works once there is another one.
            WrongCode, StepOutOfOrder, TooManyRequests, Unavailable: see `FlowEngine.claim_code_step`.
        """
        spec = DELETE.held_by(owner.user_id)
        async with self.flows.claim_code_step(spec, session_key, code, owner.client) as step:
            async with self.user_cache.invalidating(owner.user_id), step.transaction() as db:
                is_deleted = await self._delete(db, owner, step.data)
            if not is_deleted:
                raise FlowGone

    async def _delete(self, db: Db, owner: Owner, data: DeletionData) -> bool:
        member = await db.users.find_for_update(owner.user_id)
        if member is None or member.user.blocked or member.user.version != data.version:
            return False
        user = member.user
        await delete_account(db, self.keys, member)
        await notify(db, Notice.ACCOUNT_DELETED, user.id, self.recipient_encryptor.encrypt(user))
        await audit(db, Event.ACCOUNT_DELETED, owner.actor, user.id, email=masked_name(user.email))
        return True
