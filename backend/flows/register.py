"""Registration: an account appears only after its e-mail address has been confirmed."""

from __future__ import annotations

from dataclasses import dataclass

from uuid_utils.compat import uuid7

from backend.audit import audit
from backend.flows.engine import FlowEngine
from backend.passwords.hasher import PasswordHasher
from backend.passwords.policy import refuse_common, refuse_own_words
from backend.protection.known_devices import KnownDevices
from backend.protection.rate_limits import RateLimits
from backend.sessions.profile import profile
from database.repositories import Db
from database.users import NewUser, UserWithAccess
from models.context.audit import Event, anonymous_actor
from models.context.client import ClientInfo, FlowResult
from models.errors import FlowGone, LoginTaken
from models.responses.account import UserProfile
from models.responses.flows import FlowOpened
from models.values.flow import REGISTER, Step
from models.values.flow_data import RegisterData
from models.values.locale import Locale
from models.values.permission import USER_ROLE


@dataclass(frozen=True, slots=True)
class RegisterService:
    """Starts registrations and creates accounts from confirmed ones."""

    flows: FlowEngine
    limits: RateLimits
    devices: KnownDevices
    hasher: PasswordHasher
    service_name: str

    async def start_registration(
        self, email: str, login: str, password: str, locale: Locale, client: ClientInfo
    ) -> FlowOpened:
        """Hash the password and have a code mailed.

        The answer does not depend on whether e-mail or login is free: that would disclose who has an account.

        Raises:
            WeakPassword: a common password, or one made of the user's own words.
            TooManyRequests: too many registrations were started from this address.
            Unavailable: a server is away, or too many hashes wait.
        """
        self.flows.refuse_when_mail_is_stuck()
        self.hasher.refuse_when_busy()
        refuse_common(password)
        refuse_own_words(password, email, login, self.service_name)
        permit = await self.limits.charge_start(REGISTER.name, client)
        password_hash = await self.hasher.hash(password)
        data = RegisterData(email=email, locale=locale, login=login, password_hash=password_hash)
        return await self.flows.start_flow(REGISTER, permit, data)

    async def confirm_registration(self, session_key: str, code: str, client: ClientInfo) -> FlowResult[UserProfile]:
        """Create the account if the code is right.

        Raises:
            LoginTaken: the address is confirmed; the flow now waits for another login.
            FlowGone: also when another registration of the same address was confirmed before.
            WrongCode, CodeReplaced, StepOutOfOrder, TooManyRequests, Unavailable: see `FlowEngine.claim_code_step`.
        """
        async with self.flows.claim_code_step(REGISTER, session_key, code, client) as step:
            async with step.transaction() as db:
                outcome, member = await self._create(db, step.data, step.data.login, client)
            if outcome == "login_taken":
                step.advance(Step.LOGIN, new_key=False)
                raise LoginTaken("The code is right, but the login is taken. Choose another one at /register/login.")
            if member is None:
                raise FlowGone
        return self._result(member, client)

    async def choose_login(self, session_key: str, login: str, client: ClientInfo) -> FlowResult[UserProfile]:
        """Create the account with another login, because the first one was taken.

        Raises:
            LoginTaken: this login is taken, too; after five tries the flow is gone.
            FlowGone, StepOutOfOrder, TooManyRequests, Unavailable: see `FlowEngine.claim_step`.
        """
        async with self.flows.claim_step(REGISTER, session_key, Step.LOGIN, client) as step:
            async with step.transaction() as db:
                outcome, member = await self._create(db, step.data, login, client)
                if outcome == "login_taken":
                    raise LoginTaken(attempts_left=step.claim.tries_left)
            if member is None:
                raise FlowGone
        return self._result(member, client)

    def _result(self, member: UserWithAccess, client: ClientInfo) -> FlowResult[UserProfile]:
        return self.devices.remember(client, member.user.email, member.user.login, profile(member))

    async def _create(
        self, db: Db, data: RegisterData, login: str, client: ClientInfo
    ) -> tuple[str, UserWithAccess | None]:
        new = NewUser(
            id=uuid7(),
            email=data.email,
            login=login,
            password_hash=data.password_hash,
            locale=data.locale,
        )
        outcome = await db.users.create(new, USER_ROLE)
        if outcome != "added":
            return outcome, None
        await audit(db, Event.ACCOUNT_REGISTERED, anonymous_actor(client, new.id), new.id)
        return outcome, await db.users.find_with_access(new.id)
