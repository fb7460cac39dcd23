"""Log-in: the password first, then a mailed code, then tokens."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass

from backend.audit import audit
from backend.derived_keys import Keys
from backend.flows.engine import FlowEngine
from backend.passwords.hasher import PasswordHasher
from backend.protection.known_devices import KnownDevices
from backend.protection.rate_limits import RateLimits
from backend.sessions.service import SessionService
from backend.tokens.access_tokens import TokenService
from database.engine import Database
from database.users import User
from models.context.audit import Event, anonymous_actor
from models.context.client import ClientInfo, FlowResult
from models.errors import AccountBlocked, BadCredentials, FlowGone, Unavailable
from models.responses.flows import FlowOpened
from models.responses.tokens import Tokens
from models.values.flow import LOGIN
from models.values.flow_data import LoginData
from redis_tools.user_cache import new_change_id


@dataclass(frozen=True, slots=True)
class LoginService:
    """Checks passwords and codes, and issues tokens."""

    database: Database
    flows: FlowEngine
    limits: RateLimits
    devices: KnownDevices
    keys: Keys
    hasher: PasswordHasher
    sessions: SessionService
    tokens: TokenService

    async def start_login(self, identifier: str, password: str, client: ClientInfo) -> FlowOpened:
        """Check the password and have a code mailed.

        Raises:
            BadCredentials: wrong password or unknown name, after the same work for both.
            TooManyRequests: too many tries from this address, or too many wrong passwords for this login or address.
            Unavailable: a server is away, or too many hashes wait.
        """
        self.flows.refuse_when_mail_is_stuck()
        self.hasher.refuse_when_busy()
        device = self.devices.recognise(client.device_tokens, identifier)
        permit = await self.limits.charge_password(LOGIN.name, client, self.keys.subject(identifier), device)
        try:
            async with self.database.statement() as db:
                user = await db.users.find_by_identifier(identifier)
            # The connection is back in the pool: no transaction is open while the hash is computed.
            is_right = await self.hasher.verify(password, user.password_hash if user else None)
        except Unavailable:
            await self.limits.refund(permit)
            raise
        actor, user_id = anonymous_actor(client), user.id if user else None
        if user is None or not is_right:
            # Not what was typed: some people type their password there.
            self.flows.audit_buffer.record(Event.PASSWORD_REFUSED, actor, user_id)
            raise BadCredentials
        self.flows.audit_buffer.record(Event.PASSWORD_ACCEPTED, actor, user_id)
        if self.hasher.is_outdated(user.password_hash):
            await self._upgrade(user, password)
        data = LoginData(user_id=user.id, version=user.version, email=user.email, locale=user.locale)
        return await self.flows.start_flow(LOGIN, permit, data)

    async def _upgrade(self, user: User, password: str) -> None:
        """Store a hash with today's iterations: the password is known only now."""
        # A failure does not refuse a right password; the next log-in tries again.
        with suppress(Unavailable):
            upgraded = await self.hasher.hash(password)
            async with self.database.statement() as db:
                await db.users.upgrade_hash(user.id, user.password_hash, upgraded)

    async def confirm_login(self, session_key: str, code: str, client: ClientInfo) -> FlowResult[Tokens]:
        """Create a session and its tokens if the code is right.

        Raises:
            AccountBlocked: disclosed only here, after the right password and code.
            FlowGone: also when the account is gone, or its password was changed since the start.
            WrongCode, CodeReplaced, StepOutOfOrder, TooManyRequests, Unavailable: see `FlowEngine.claim_code_step`.
        """
        async with self.flows.claim_code_step(LOGIN, session_key, code, client) as step:
            key, change = self.tokens.keys.signing_key, new_change_id()
            async with step.transaction() as db:
                # Locked: a concurrent change of the password waits, and then ends this session with the others.
                member = await db.users.find_for_update(step.data.user_id)
                is_same = member is not None and member.user.version == step.data.version
                if member is not None and is_same and not member.user.blocked:
                    opened = await self.sessions.create(db, member, client, change)
                elif member is not None and is_same:
                    await audit(db, Event.LOGIN_BLOCKED, anonymous_actor(client, member.user.id), member.user.id)
            if member is None or not is_same:
                raise FlowGone
            if member.user.blocked:
                raise AccountBlocked
            step.on_close.append(self.sessions.user_cache.end_change(member.user.id, change))
        return self.devices.remember(
            client, member.user.email, member.user.login, self.tokens.issue(key, member, *opened)
        )
