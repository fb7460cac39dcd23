"""The flow engine: session key, order of steps, expiry, guesses, single use and resend, once for all three flows."""

from __future__ import annotations

import base64
import binascii
import logging
import secrets
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from hashlib import sha256
from http import HTTPStatus
from typing import Any

from backend.backlog import BacklogGauge
from backend.bell import Bell
from backend.keys import Keys
from database.engine import Database, Db
from models.answers import FlowOpened, NextStep
from models.errors import FlowGone, ServiceError, Unavailable
from redis_tools.flow_store import Claim, FlowKey, FlowStore

log = logging.getLogger(__name__)

_ID_BYTES = 16
_SECRET_BYTES = 32


class Step(StrEnum):
    """An act that a flow waits for."""

    CODE = "code"  # prove that you read the mail
    LOGIN = "login"  # choose another login, the first one was taken
    PASSWORD = "password"  # noqa: S105 - choose a new password


_PATHS = {Step.CODE: "confirm", Step.LOGIN: "login", Step.PASSWORD: "password"}

_TRIES = {Step.CODE: 3, Step.LOGIN: 5, Step.PASSWORD: 5}
"""Tries a flow has at each step (design.md, sections 3 and 4)."""


@dataclass(frozen=True, slots=True)
class FlowSpec:
    """What makes one kind of flow: its name, its steps after the opening request, and the mail of its code."""

    name: str
    steps: tuple[Step, ...]
    mail: str

    def path(self, step: Step) -> str:
        """Where a client takes the step."""
        return f"/{self.name}/{_PATHS[step]}"


REGISTER = FlowSpec("register", (Step.CODE, Step.LOGIN), mail="register_code")
LOGIN = FlowSpec("login", (Step.CODE,), mail="login_code")
RECOVER = FlowSpec("recover", (Step.CODE, Step.PASSWORD), mail="recover_code")
SPECS = {spec.name: spec for spec in (REGISTER, LOGIN, RECOVER)}

CODE_MAIL = "code"
"""The kind of outbox job that mints and mails a code."""


@dataclass(frozen=True, slots=True)
class PostRoom:
    """What a flow knows of the mail: whether too much of it waits, and how to say that there is more."""

    backlog: BacklogGauge
    bell: Bell


@dataclass(frozen=True, slots=True)
class FlowRules:
    """The numbers of a flow, in seconds."""

    ttl: int
    resend_after: int
    resends: int


def _new_key(flow_id: bytes) -> tuple[str, bytes]:
    """A session key for the flow, and the digest of its secret half: all that is ever stored of it."""
    secret = secrets.token_bytes(_SECRET_BYTES)
    return base64.urlsafe_b64encode(flow_id + secret).decode(), sha256(secret).digest()


def _read(session_key: str, spec: FlowSpec) -> FlowKey:
    """What a session key opens; one that was never ours is refused like one that is not in use any more."""
    try:
        raw = base64.b64decode(session_key, altchars=b"-_", validate=True)
    except (binascii.Error, ValueError) as error:
        raise FlowGone from error
    if len(raw) != _ID_BYTES + _SECRET_BYTES:
        raise FlowGone
    return FlowKey(raw[:_ID_BYTES], spec.name, sha256(raw[_ID_BYTES:]).digest())


class Passage:
    """A claimed step: take effect once, then say how the flow goes on."""

    def __init__(self, database: Database, claim: Claim) -> None:
        self._database = database
        self.claim = claim
        self.over = False
        self.next: tuple[Step, bool] | None = None
        self.next_step: NextStep | None = None

    @property
    def data(self) -> Mapping[str, Any]:
        """What the flow is about."""
        return self.claim.data

    @asynccontextmanager
    async def effect(self) -> AsyncIterator[Db]:
        """The one transaction in which the step takes effect; what raises inside undoes all of it, the mark included.

        Raises:
            FlowGone: the step took effect before, and Valkey forgot.
            Unavailable: PostgreSQL is away; a repeat finds out whether the commit stood.
        """
        async with self._database.transaction() as db:
            if not await db.used_flows.mark(self.claim.flow_id, self.claim.step):
                self.over = True
                raise FlowGone
            yield db
        self.over = True

    def advance(self, step: Step, *, new_key: bool) -> None:
        """Go on to another step instead of closing the flow, with a new session key or with the old one."""
        self.next = (step, new_key)


class FlowEngine:
    """Begins flows, lets them pass their steps, and ends them."""

    def __init__(self, store: FlowStore, database: Database, keys: Keys, post: PostRoom, rules: FlowRules) -> None:
        self._store = store
        self._database = database
        self._keys = keys
        self._bell = post.bell
        self._backlog = post.backlog
        self._rules = rules

    def refuse_when_mail_is_stuck(self) -> None:
        """Called first at every start: a code that will not leave in time is not promised.

        Raises:
            Unavailable: too much mail waits, or has waited for too long.
        """
        self._backlog.refuse_when_long()

    async def begin(self, spec: FlowSpec, data: Mapping[str, Any]) -> FlowOpened:
        """Open a flow, and have a code mailed.

        Valkey first, PostgreSQL last: if the commit fails, what is left is a flow that expires alone.

        Raises:
            Unavailable: Valkey or PostgreSQL is away.
        """
        flow_id = secrets.token_bytes(_ID_BYTES)
        session_key, digest = _new_key(flow_id)
        step = spec.steps[0]
        key = FlowKey(flow_id, spec.name, digest)
        await self._store.open(key, step, data, ttl=self._rules.ttl, resend=self._rules.resend_after)
        await self._enqueue(flow_id, serial=0)
        return FlowOpened(
            session_key=session_key,
            expires_in=self._rules.ttl,
            resend_after=self._rules.resend_after,
            next=spec.path(step),
        )

    async def resend(self, spec: FlowSpec, session_key: str) -> FlowOpened:
        """Have another code mailed; the key stays, and so do the guesses spent.

        Raises:
            FlowGone, StepOutOfOrder, TooSoon: see `FlowStore.resend`.
            Unavailable: Valkey or PostgreSQL is away; the wish is not counted.
        """
        self.refuse_when_mail_is_stuck()
        key = _read(session_key, spec)
        resent = await self._store.resend(key, Step.CODE, resends=self._rules.resends, resend=self._rules.resend_after)
        try:
            await self._enqueue(key.flow_id, serial=resent.serial)
        except BaseException:
            await self._store.unsend(key.flow_id, resent)
            raise
        return FlowOpened(
            session_key=session_key,
            expires_in=resent.expires_in,
            resend_after=self._rules.resend_after,
            next=spec.path(Step.CODE),
        )

    async def _enqueue(self, flow_id: bytes, serial: int) -> None:
        async with self._database.statement() as db:
            await db.outbox.put(
                CODE_MAIL,
                {"flow": flow_id.hex(), "serial": serial},
                give_up_after=timedelta(seconds=self._rules.ttl),
                call=not self._bell.heard,
            )
        self._bell.ring()

    @asynccontextmanager
    async def passing(
        self, spec: FlowSpec, session_key: str, step: Step, code: str | None = None
    ) -> AsyncIterator[Passage]:
        """Claim one step of a living flow; what happens inside takes effect once, or not at all.

        Afterwards the flow is closed or has advanced; after a failure the step is free again and nothing is charged;
        after a refusal the step is free again and the try stays spent.

        Raises:
            FlowGone, StepOutOfOrder, WrongCode: see `FlowStore.claim`.
            Unavailable: Valkey or PostgreSQL is away.
        """
        if (step is Step.CODE) != (code is not None):
            raise TypeError("the code step, and no other, takes a code")
        key = _read(session_key, spec)
        macs = self._keys.code_macs(key.flow_id, spec.name, code) if code is not None else []
        claim = await self._store.claim(key, step, tries=_TRIES[step], macs=macs)
        passage = Passage(self._database, claim)
        try:
            yield passage
        except BaseException as error:
            if passage.over:
                await self._settle(spec, passage)
            else:
                await self._release(claim, error)
            raise
        await self._settle(spec, passage)

    async def _settle(self, spec: FlowSpec, passage: Passage) -> None:
        """Close the flow or move it on, now that PostgreSQL has the effect."""
        if passage.next is None:
            try:
                await self._store.close(passage.claim)
            except Unavailable:
                # The effect stands, and its mark in PostgreSQL refuses a second one; the record expires alone.
                log.warning("a finished flow could not be closed")
            return
        step, new_key = passage.next
        session_key, digest = _new_key(passage.claim.flow_id) if new_key else ("", b"")
        expires_in = await self._store.advance(passage.claim, step, digest)
        passage.next_step = NextStep(session_key=session_key, expires_in=expires_in, next=spec.path(step))

    async def _release(self, claim: Claim, error: BaseException) -> None:
        """Let the step be tried again. A refusal spends the try, a failure does not; a right code is never charged."""
        refused = isinstance(error, ServiceError) and error.status < HTTPStatus.INTERNAL_SERVER_ERROR
        step = Step(claim.step)
        try:
            await self._store.release(claim, give_back=step is not Step.CODE and not refused, tries=_TRIES[step])
        except Unavailable:
            # The claim ends by itself in a few seconds.
            log.warning("a claimed step could not be released")
