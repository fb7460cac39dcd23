"""Recovery of a lost password: a mailed code, then a new password."""

from __future__ import annotations

from dataclasses import dataclass, replace

from backend.audit import audit
from backend.flows.engine import FlowEngine
from backend.mail.notices import Notice, notify
from backend.passwords.hasher import PasswordHasher
from backend.passwords.policy import refuse_common, refuse_own_words
from backend.protection.known_devices import KnownDevices
from backend.protection.rate_limits import RateLimits
from database.engine import Database
from models.context.audit import Event, anonymous_actor
from models.context.client import ClientInfo, FlowResult
from models.context.masking import masked_name
from models.errors import FlowGone
from models.responses.flows import FlowOpened, NextStep
from models.values.flow import RECOVER, Step
from models.values.flow_data import RecoverData
from redis_tools.user_cache import UserCache


@dataclass(frozen=True, slots=True)
class RecoverService:
    """Lets the owner of a mailbox set a new password."""

    database: Database
    flows: FlowEngine
    limits: RateLimits
    devices: KnownDevices
    hasher: PasswordHasher
    user_cache: UserCache
    service_name: str

    async def start_recovery(self, email: str, client: ClientInfo) -> FlowOpened:
        """Have a code mailed if the address has an account; the answer is the same if it has none.

        Raises:
            TooManyRequests: too many recoveries were started from this address.
            Unavailable: a server is away.
        """
        self.flows.refuse_when_mail_is_stuck()
        device = self.devices.recognise(client.device_tokens, email)
        permit = await self.limits.charge_start(RECOVER.name, client, device)
        opened = await self.flows.start_flow(RECOVER, permit, RecoverData(email=email))
        self.flows.audit_buffer.record(Event.RECOVERY_STARTED, anonymous_actor(client), email=masked_name(email))
        return opened

    async def confirm_recovery(self, session_key: str, code: str, client: ClientInfo) -> NextStep:
        """Return a new session key if the code is right; the old one is dead.

        Raises:
            WrongCode, CodeReplaced, FlowGone, StepOutOfOrder, TooManyRequests, Unavailable: see
                `FlowEngine.claim_code_step`.
        """
        async with self.flows.claim_code_step(RECOVER, session_key, code, client) as step:
            # The mark is the effect: this code opens the next step once. A change of the account's password or address
            # closes that step again, another recovery included.
            async with step.transaction() as db:
                user = await db.users.find_by_email(step.data.email)
            if user is None:
                raise FlowGone
            data = replace(step.data, user_id=user.id, version=user.version)
            step.advance(Step.PASSWORD, new_key=True, data=data)
        if step.next_step is None:
            raise FlowGone
        return step.next_step

    async def set_password(self, session_key: str, password: str, client: ClientInfo) -> FlowResult[None]:
        """Set the new password, end every session of the user, and notify the owner by mail.

        Raises:
            WeakPassword: a common password, or one made of the user's own words; the latter spends one of 5 tries.
            FlowGone: also when the account was blocked or deleted since the code was confirmed, or its password or
                address was changed.
            StepOutOfOrder, TooManyRequests, Unavailable: see `FlowEngine.claim_step`.
        """
        refuse_common(password)
        async with self.flows.claim_step(RECOVER, session_key, Step.PASSWORD, client) as step:
            if step.data.user_id is None:
                raise FlowGone
            async with self.database.statement() as db:
                user = await db.users.find_by_id(step.data.user_id)
            if user is None:
                raise FlowGone
            refuse_own_words(password, user.email, user.login, self.service_name)
            # Claimed first, hashed second: one request has the step, and no transaction is open while it hashes.
            password_hash = await self.hasher.hash(password)
            async with self.user_cache.invalidating(user.id), step.transaction() as db:
                member = await db.users.find_for_update(user.id)
                is_same = member is not None and member.user.version == step.data.version
                if is_same and not user.blocked:
                    await db.users.set_password(user.id, password_hash)
                    await db.sessions.delete_all(user.id)
                    await notify(db, Notice.PASSWORD_CHANGED, user.id)
                    await audit(db, Event.PASSWORD_RECOVERED, anonymous_actor(client, user.id), user.id)
            if not is_same or user.blocked:
                raise FlowGone
        return self.devices.remember(client, user.email, user.login, None)
