"""Registration: an account appears only after its e-mail address has been confirmed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from uuid_utils.compat import uuid7

from backend.audit import audit
from backend.flows.engine import FlowEngine
from backend.passwords.hasher import PasswordHasher
from backend.passwords.policy import own_words, refuse_common, refuse_own_words
from backend.protection.known_devices import KnownDevices
from backend.protection.rate_limits import RateLimits
from backend.sessions.profile import profile
from database.engine import Db
from database.users import NewUser, UserWithAccess
from models.context.audit import Event, anonymous_actor
from models.context.client import ClientInfo, FlowResult
from models.errors import FlowGone, LoginTaken
from models.responses.account import UserProfile
from models.responses.flows import FlowOpened
from models.values.flow import REGISTER, Step
from models.values.locale import Locale
from models.values.login import canonical_login
from models.values.permission import USER_ROLE


@dataclass(frozen=True, slots=True)
class RegisterService:
    """Opens registrations and turns confirmed ones into accounts."""

    flows: FlowEngine
    limits: RateLimits
    devices: KnownDevices
    hasher: PasswordHasher
    service_name: str

    async def start(self, email: str, login: str, password: str, locale: Locale, client: ClientInfo) -> FlowOpened:
        """Hash the password and have a code mailed. Whether e-mail or login is free is not looked at, nor told.

        Raises:
            WeakPassword: a common password, or little more than the user's own words.
            TooManyRequests: too many registrations from this address.
            Unavailable: a server is away, or too many hashes wait.
        """
        self.flows.refuse_when_mail_is_stuck()
        self.hasher.refuse_when_busy()
        refuse_common(password)
        refuse_own_words(password, own_words(email, login, self.service_name))
        permit = await self.limits.charge_start(REGISTER.name, client)
        pending = {
            "email": email,
            "login": login,
            "locale": locale.value,
            "password_hash": await self.hasher.hash(password),
        }
        return await self.flows.begin(REGISTER, permit, email, pending)

    async def confirm(self, session_key: str, code: str, client: ClientInfo) -> FlowResult[UserProfile]:
        """Trade the mailed code for an account.

        Raises:
            LoginTaken: the address is confirmed; the flow now waits for another login.
            FlowGone: also when somebody else has confirmed the same address meanwhile.
            WrongCode, CodeReplaced, StepOutOfOrder, TooManyRequests, Unavailable: see `FlowEngine.passing`.
        """
        async with self.flows.passing(REGISTER, session_key, Step.CODE, client, code) as passage:
            async with passage.effect() as db:
                outcome, member = await self._add(db, passage.data, passage.data["login"], client)
            if outcome == "login_taken":
                passage.advance(Step.LOGIN, new_key=False)
                raise LoginTaken("The code was right, the login is taken. Choose another at /register/login.")
            if member is None:
                raise FlowGone
        return self._finished(member, client)

    async def choose_login(self, session_key: str, login: str, client: ClientInfo) -> FlowResult[UserProfile]:
        """Try another login, the first one having been taken.

        Raises:
            LoginTaken: this one too; after five tries the flow is gone.
            FlowGone, StepOutOfOrder, TooManyRequests, Unavailable: see `FlowEngine.passing`.
        """
        async with self.flows.passing(REGISTER, session_key, Step.LOGIN, client) as passage:
            async with passage.effect() as db:
                outcome, member = await self._add(db, passage.data, login, client)
                if outcome == "login_taken":
                    raise LoginTaken(attempts_left=passage.claim.tries_left)
            if member is None:
                raise FlowGone
        return self._finished(member, client)

    async def resend(self, session_key: str, client: ClientInfo) -> FlowOpened:
        """Have another code mailed; see `FlowEngine.resend`."""
        return await self.flows.resend(REGISTER, session_key, client)

    def _finished(self, member: UserWithAccess, client: ClientInfo) -> FlowResult[UserProfile]:
        return self.devices.remember(client, member.user.email, member.user.login, profile(member))

    async def _add(self, db: Db, pending: Any, login: str, client: ClientInfo) -> tuple[str, UserWithAccess | None]:
        new = NewUser(
            id=uuid7(),
            email=pending["email"],
            login=login,
            login_canonical=canonical_login(login),
            password_hash=pending["password_hash"],
            locale=Locale(pending["locale"]),
        )
        outcome = await db.users.create(new, USER_ROLE)
        if outcome != "added":
            return outcome, None
        await audit(db, Event.ACCOUNT_REGISTERED, anonymous_actor(client, new.id), new.id)
        return outcome, await db.users.find_with_access(new.id)
