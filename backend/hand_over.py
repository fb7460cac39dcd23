"""The worker's side of a flow, and everything that depends on whose address it is: whom to write, and what."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from backend.code_mail import CodeMail, Letter
from backend.flow_spec import LOGIN, RECOVER, REGISTER, SPECS, Step
from backend.notices import Notice
from backend.postman import Postman
from database.engine import Database
from database.users import User
from models.locale import Locale
from redis_tools.flow_store import FlowStore, Waiting
from template_message.render import MailTemplates


@dataclass(frozen=True, slots=True)
class HandOver:
    """Finds out whom a job is for, and has the mail written. Every method may raise what `Postman.send` raises."""

    database: Database
    store: FlowStore
    templates: MailTemplates
    postman: Postman
    codes: CodeMail

    async def code(self, payload: Mapping[str, Any]) -> None:
        """Mail the code of a flow, if it still waits for one and its address is one that gets it.

        Raises:
            Unavailable: PostgreSQL or Valkey is away.
        """
        flow_id = bytes.fromhex(payload["flow"])
        waiting = await self.store.waiting(flow_id, Step.CODE)
        if waiting is None or waiting.minted > payload["serial"]:
            return
        spec, data = SPECS[waiting.purpose], waiting.data
        user = None if spec is LOGIN else await self._owner(data["email"])
        if spec is REGISTER and user is not None:
            await self._account_exists(waiting, user)
        elif spec is RECOVER and user is None:
            return
        else:
            # A log-in and a registration bring address and language along, a recovery finds them in the account.
            owner = UUID(data["user_id"]) if spec is LOGIN else user.id if user else None
            letter = Letter(
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
            return await db.users.by_email(email)

    async def _account_exists(self, waiting: Waiting, user: User) -> None:
        """Tell the owner of a taken address; from the same bucket as codes, for this is a mail, too."""
        async with self.codes.stamped(waiting) as stamp:
            if stamp is not None:
                await self._send("account_exists", user, login=user.login)

    async def notice(self, notice: Notice, payload: Mapping[str, Any]) -> None:
        """Tell a user what has happened to the account; nobody is told once it is gone."""
        async with self.database.statement() as db:
            user = await db.users.by_id(UUID(payload["user_id"]))
        if user is not None:
            await self._send(notice, user, login=user.login, when=datetime.fromisoformat(payload["at"]))

    async def _send(self, mail: str, user: User, **values: object) -> None:
        await self.postman.send(user.email, self.templates.render(mail, user.locale, **values))
