"""The worker's side of a flow, and everything that depends on whose address it is: whom to write, what, which code."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from time import monotonic
from typing import Any
from uuid import UUID

from backend.flow import LOGIN, RECOVER, REGISTER, SPECS, Step
from backend.keys import Keys
from backend.postman import Postman
from database.engine import Database
from database.users import User
from models.errors import Unavailable
from models.locale import Locale
from redis_tools.flow_store import FlowStore
from template_message.render import MailTemplates

_SOON = 1.0
"""Seconds from minting to SMTP's 250 below which the code's ten minutes are not worth starting anew."""


@dataclass(frozen=True, slots=True)
class Addressee:
    """Whom a mail goes to, and in which language."""

    email: str
    locale: Locale


@dataclass(frozen=True, slots=True)
class HandOver:
    """Writes a mail at the last moment and gives it to SMTP. Every method may raise what `Postman.send` raises."""

    database: Database
    store: FlowStore
    keys: Keys
    templates: MailTemplates
    postman: Postman
    code_digits: int
    code_ttl: int

    async def code(self, payload: Mapping[str, Any]) -> None:
        """Mint and mail the code of a flow, if it still waits for one and its address is one that gets it.

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
            await self._send("account_exists", Addressee(user.email, user.locale), login=user.login)
        elif spec is RECOVER and user is None:
            return
        else:
            # A log-in and a registration bring address and language along, a recovery finds them in the account.
            addressee = Addressee(data["email"], user.locale if user else Locale(data["locale"]))
            await self._mail_code(flow_id, payload["serial"], waiting.purpose, addressee)

    async def _owner(self, email: str) -> User | None:
        async with self.database.statement() as db:
            return await db.users.by_email(email)

    async def _mail_code(self, flow_id: bytes, serial: int, purpose: str, addressee: Addressee) -> None:
        """Valid from just before SMTP has it, so that no reader is too quick; its minutes count from SMTP's 250."""
        code = f"{secrets.randbelow(10**self.code_digits):0{self.code_digits}d}"
        mac = self.keys.code_macs(flow_id, purpose, code)[0]
        if not await self.store.mint(flow_id, Step.CODE, mac, serial=serial, ttl=self.code_ttl):
            return
        minted = monotonic()
        await self._send(SPECS[purpose].mail, addressee, code=code, minutes=max(1, self.code_ttl // 60))
        if monotonic() - minted < _SOON:
            return
        # The mail is out: were it sent anew for want of Valkey, the code in the reader's hand would be dead. Without
        # the renewal it lives from its minting, a few seconds less.
        with suppress(Unavailable):
            await self.store.renew(flow_id, mac, self.code_ttl)

    async def password_changed(self, payload: Mapping[str, Any]) -> None:
        """Tell a user that the password was changed; nobody is told once the account is gone."""
        async with self.database.statement() as db:
            user = await db.users.by_id(UUID(payload["user_id"]))
        if user is not None:
            when = datetime.fromisoformat(payload["at"])
            await self._send("password_changed", Addressee(user.email, user.locale), login=user.login, when=when)

    async def _send(self, mail: str, addressee: Addressee, **values: object) -> None:
        await self.postman.send(addressee.email, self.templates.render(mail, addressee.locale, **values))
