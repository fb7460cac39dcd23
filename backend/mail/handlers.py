"""The worker's side of a flow, and everything that depends on whose address it is: whom to write, and what."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from backend.mail.code_mail import CodeMail, CodeMailRequest
from backend.mail.notices import Notice
from backend.mail.sealed_recipient import Recipient, RecipientEncryptor
from backend.mail.smtp_pool import SmtpPool
from database.engine import Database
from database.outbox import SEALED
from database.users import User
from models.values.flow import DELETE, EMAIL, LOGIN, RECOVER, REGISTER, SPECS, WAITING, Step
from models.values.locale import Locale
from redis_tools.flow_store import FlowStore, WaitingFlow
from template_message.render import MailTemplates

_IF_TAKEN = {REGISTER: "account_exists", EMAIL: "email_taken"}
"""What the owner of an address is mailed in place of a code, when somebody would have it for an account."""


@dataclass(frozen=True, slots=True)
class HandOver:
    """Finds out whom a job is for, and has the mail written. Every method may raise what `Postman.send` raises."""

    database: Database
    store: FlowStore
    templates: MailTemplates
    postman: SmtpPool
    codes: CodeMail
    envelopes: RecipientEncryptor

    async def code(self, payload: Mapping[str, Any]) -> None:
        """Mail the code of a flow, if it still waits for one and its address is one that gets it.

        Raises:
            Unavailable: PostgreSQL or Valkey is away.
        """
        flow_id = bytes.fromhex(payload["flow"])
        waiting: WaitingFlow | None = payload.get(WAITING) or await self.store.find_waiting(flow_id, Step.CODE)
        if waiting is None or waiting.minted > payload["serial"]:
            return
        spec, data = SPECS[waiting.purpose], waiting.data
        of_account = spec in (LOGIN, DELETE)
        user = None if of_account else await self._owner(data["email"])
        if spec in _IF_TAKEN and user is not None:
            await self._address_is_taken(waiting, _IF_TAKEN[spec], user)
        elif spec is RECOVER and user is None:
            return
        else:
            # A recovery finds address and language in the account; whatever else is begun brings them along.
            owner = UUID(data["user_id"]) if of_account else user.id if user else None
            letter = CodeMailRequest(
                flow_id=flow_id,
                serial=payload["serial"],
                waiting=waiting,
                mail=spec.mail,
                email=data["email"],
                locale=user.locale if user else Locale(data["locale"]),
                owner=owner,
            )
            await self.codes.send(letter)

    async def _owner(self, email: str) -> User | None:
        async with self.database.statement() as db:
            return await db.users.find_by_email(email)

    async def _address_is_taken(self, waiting: WaitingFlow, mail: str, user: User) -> None:
        """Tell the owner of a taken address; from the same bucket as codes, for this is a mail, too."""
        async with self.codes.stamped(waiting) as stamp:
            if stamp is not None:
                await self._send(mail, user, login=user.login)

    async def notice(self, notice: Notice, payload: Mapping[str, Any]) -> None:
        """Tell a user what has happened to the account; once it is gone, nobody but whom the notice itself names."""
        user = await self._addressee(payload)
        if user is not None:
            await self._send(notice, user, login=user.login, when=datetime.fromisoformat(payload["at"]))

    async def _addressee(self, payload: Mapping[str, Any]) -> User | Recipient | None:
        if SEALED in payload:
            return self.envelopes.open(payload[SEALED])
        async with self.database.statement() as db:
            return await db.users.find_by_id(UUID(payload["user_id"]))

    async def _send(self, mail: str, user: User | Recipient, **values: object) -> None:
        await self.postman.send(user.email, self.templates.render(mail, user.locale, **values))
