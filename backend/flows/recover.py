"""Recovery of a lost password: a mailed code, then a new password."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from backend.audit import audit
from backend.flows.engine import FlowEngine
from backend.mail.notices import Notice, notify
from backend.passwords.hasher import PasswordHasher
from backend.passwords.policy import own_words, refuse_common, refuse_own_words
from backend.protection.known_devices import KnownDevices
from backend.protection.rate_limits import RateLimits
from backend.sessions.user_cache import UserCache
from database.engine import Database
from models.context.audit import Event, anonymous_actor
from models.context.client import ClientInfo, FlowResult
from models.context.masking import masked_name
from models.errors import FlowGone
from models.responses.flows import FlowOpened, NextStep
from models.values.flow import RECOVER, Step


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

    async def start(self, email: str, client: ClientInfo) -> FlowOpened:
        """Have a code mailed if the address has an account; the answer is the same if it has none.

        Raises:
            TooManyRequests: too many recoveries from this address.
            Unavailable: a server is away.
        """
        self.flows.refuse_when_mail_is_stuck()
        device = self.devices.recognise(client.device_tokens, email)
        permit = await self.limits.charge_start(RECOVER.name, client, device)
        opened = await self.flows.begin(RECOVER, permit, email, {"email": email})
        self.flows.audit_buffer.record(Event.RECOVERY_STARTED, anonymous_actor(client), email=masked_name(email))
        return opened

    async def confirm(self, session_key: str, code: str, client: ClientInfo) -> NextStep:
        """Trade the mailed code for a new session key; the old one is dead.

        Raises:
            WrongCode, CodeReplaced, FlowGone, StepOutOfOrder, TooManyRequests, Unavailable: see `FlowEngine.passing`.
        """
        async with self.flows.passing(RECOVER, session_key, Step.CODE, client, code) as passage:
            # The mark is the effect: this code opens the next step once. Whatever changes the account from now on,
            # another recovery among them, closes that step again.
            async with passage.effect() as db:
                user = await db.users.find_by_email(passage.data["email"])
            if user is None:
                raise FlowGone
            passage.advance(Step.PASSWORD, new_key=True, user_id=str(user.id), version=user.version)
        if passage.next_step is None:
            raise FlowGone
        return passage.next_step

    async def set_password(self, session_key: str, password: str, client: ClientInfo) -> FlowResult[None]:
        """Set the new password, end every session of the user, and tell the owner by mail.

        Raises:
            WeakPassword: a common password, or little more than the user's own words; the latter spends one of 5 tries.
            FlowGone: also when the account was blocked or deleted since the code was given, or its password or address
                was changed.
            StepOutOfOrder, TooManyRequests, Unavailable: see `FlowEngine.passing`.
        """
        refuse_common(password)
        async with self.flows.passing(RECOVER, session_key, Step.PASSWORD, client) as passage:
            async with self.database.statement() as db:
                user = await db.users.find_by_id(UUID(passage.data["user_id"]))
            if user is None:
                raise FlowGone
            refuse_own_words(password, own_words(user.email, user.login, self.service_name))
            # Claimed first, hashed second: the step has one owner, and no transaction is open meanwhile.
            password_hash = await self.hasher.hash(password)
            async with self.user_cache.changing(user.id), passage.effect() as db:
                member = await db.users.find_for_update(user.id)
                is_same = member is not None and member.user.version == passage.data["version"]
                if is_same and not user.blocked:
                    await db.users.set_password(user.id, password_hash)
                    await db.sessions.delete_all(user.id)
                    await notify(db, Notice.PASSWORD_CHANGED, user.id)
                    await audit(db, Event.PASSWORD_RECOVERED, anonymous_actor(client, user.id), user.id)
            if not is_same or user.blocked:
                raise FlowGone
        return self.devices.remember(client, user.email, user.login, None)

    async def resend(self, session_key: str, client: ClientInfo) -> FlowOpened:
        """Have another code mailed; see `FlowEngine.resend`."""
        return await self.flows.resend(RECOVER, session_key, client)
