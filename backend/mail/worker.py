"""Runs the outbox: leases jobs, has them sent, settles them, and goes on whatever goes away meanwhile."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from backend.counters import Counters
from backend.mail.enqueue import LEASE, LocalWorker, MailQueue
from backend.mail.smtp import MailDelayed, MailRefused, RecipientDelayed
from database.engine import Database
from database.outbox import RECIPIENT_DEFERRED, Job
from database.outbox_listener import listen
from models.context.counters import Counter
from models.context.request_id import request_id
from models.errors import Unavailable

log = logging.getLogger(__name__)

Mailer = Callable[[Mapping[str, Any]], Awaitable[None]]

_RENEW_EVERY = 2.0
_POLL_EVERY = 1.0
"""Seconds. A worker that is killed leaves its mail to others after the lease and one poll."""

_BACK_OFF = (15, 60, 180, 420)
"""Seconds between attempts, the last one for ever (design.md, section 8)."""

_AWAY_DELAY = timedelta(seconds=2)
_POISON_ATTEMPTS = 3
"""After so many unforeseen errors a job is a dead letter (security.md, fault 25)."""

_GATHER = 0.2
"""Seconds between two statements that take mail that SMTP has taken out of the outbox: the first goes at once, and in a
rush each takes all that was sent meanwhile. A worker that is killed leaves as much of it to be sent a second time."""

_SETTLE_TRIES = 60
_GOODBYE = 3.0
"""Seconds that mail in hand is waited for at a stop; the whole stop takes at most 10."""


@dataclass(frozen=True, slots=True)
class Chore:
    """Something else that is done every so many seconds."""

    do: Callable[[], Awaitable[None]]
    every: float


@dataclass(frozen=True, slots=True)
class Done:
    """The mail is with SMTP, or is not needed any more."""


@dataclass(frozen=True, slots=True)
class Later:
    """Try again after a while."""

    delay: timedelta
    reason: str


@dataclass(frozen=True, slots=True)
class Dead:
    """Trying again is useless."""

    reason: str


Outcome = Done | Later | Dead


def _back_off(attempts: int) -> timedelta:
    return timedelta(seconds=_BACK_OFF[min(attempts, len(_BACK_OFF)) - 1])


@dataclass(frozen=True, slots=True)
class Work:
    """What there is to do: a mailer for each kind of job, and chores beside them."""

    mailers: Mapping[str, Mailer]
    chores: Sequence[Chore]
    counters: Counters


class MailWorker:
    """Sends what the outbox holds, several mails at a time."""

    def __init__(self, database: Database, listen_url: str, bell: MailQueue, work: Work, *, hands: int) -> None:
        self._database = database
        self._listen_url = listen_url
        self._bell = bell
        self._wake = bell.rung
        self._mailers = work.mailers
        self._hands = hands
        self._chores = work.chores
        self._counters = work.counters
        self._held: dict[int, Job] = {}
        self._sent: set[int] = set()
        self._some_sent = asyncio.Event()
        # What was just taken out of the outbox must not come back by a lease that was answered before.
        self._outbox = asyncio.Lock()
        self._tasks: set[asyncio.Task[None]] = set()
        self._more = False

    async def run(self) -> None:
        """Work until cancelled; mail in hand is then finished or, if SMTP is slow, left to the end of its lease."""
        self._bell.hands = LocalWorker(self._free, self._take)
        try:
            async with asyncio.TaskGroup() as tasks:
                for duty, pause in (
                    (self._listen, _POLL_EVERY),
                    (self._send_due, 0.0),
                    (self._renew, _RENEW_EVERY),
                    (self._clear_sent, 0.0),
                    *((chore.do, chore.every) for chore in self._chores),
                ):
                    tasks.create_task(self._for_ever(duty, pause))
        finally:
            self._bell.hands = None
            if self._tasks:
                await asyncio.wait(self._tasks, timeout=_GOODBYE)
            with suppress(Unavailable):
                await self._clear()

    async def _for_ever(self, duty: Callable[[], Awaitable[None]], pause: float) -> None:
        """Supervise one duty: whatever happens to it, it is taken up again."""
        while True:
            try:
                await duty()
            except Unavailable:
                log.warning("a server is away, mail may have to wait")
                await asyncio.sleep(_POLL_EVERY)
            except Exception:
                log.exception("the mail worker stumbled")
                await asyncio.sleep(_POLL_EVERY)
            else:
                await asyncio.sleep(pause)

    async def _listen(self) -> None:
        async with listen(self._listen_url, self._wake) as lost:
            self._wake.set()
            await lost.wait()

    async def _send_due(self) -> None:
        """Take what is due for the hands that are free, then wait for a call, for at most a second."""
        self._wake.clear()
        free = self._free() - self._bell.promised
        jobs: list[Job] = []
        if free > 0:
            async with self._outbox:
                async with self._database.statement() as db:
                    jobs = await db.outbox.lease(free, LEASE)
                for job in jobs:
                    self._take(job)
        self._more = len(jobs) >= free
        # Not `wait_for`: up to Python 3.11 it swallows a cancellation that comes with the call, and no stop would end.
        with suppress(TimeoutError):
            async with asyncio.timeout(_POLL_EVERY):
                await self._wake.wait()

    def _free(self) -> int:
        return self._hands - len(self._held)

    def _take(self, job: Job) -> None:
        if job.id in self._sent:
            return
        in_hand = job.id in self._held
        self._held[job.id] = job
        # A lease that ran out may come back to ourselves while the mail is still in hand: it goes on, renewed.
        if not in_hand:
            task = asyncio.create_task(self._handle(job))
            self._tasks.add(task)
            task.add_done_callback(self._forget)

    async def _clear_sent(self) -> None:
        """Wait until mail has been sent, and take it out of the outbox, seldom however much it is."""
        if not self._sent:
            self._some_sent.clear()
            await self._some_sent.wait()
        while self._sent:
            # Tried anew soon: when PostgreSQL is back, its lease is over, and another worker would send it again.
            with suppress(Unavailable):
                await self._clear()
            await asyncio.sleep(_GATHER)

    async def _clear(self) -> None:
        """Take what was sent out of the outbox."""
        async with self._outbox:
            if sent := set(self._sent):
                async with self._database.statement() as db:
                    await db.outbox.delete_sent(sent)
                self._sent -= sent

    async def _renew(self) -> None:
        if self._held:
            async with self._database.statement() as db:
                await db.outbox.renew(list(self._held.values()), LEASE)

    async def _handle(self, job: Job) -> None:
        """One attempt, and what follows from it."""
        request_id.set(job.payload.get("request"))
        try:
            outcome = await self._attempt(job)
            self._counters.count(Counter.MAILS, job.kind, type(outcome).__name__.lower())
            if isinstance(outcome, Done):
                self._sent.add(job.id)
                self._some_sent.set()
                if self._bell.hands is None:  # we stop, and nobody gathers any more
                    await self._clear()
            else:
                await self._settle(job, outcome)
        finally:
            del self._held[job.id]
            if self._more:
                self._wake.set()

    async def _attempt(self, job: Job) -> Outcome:
        """Send the mail, and say what is to become of the job."""
        if job.given_up:
            return Dead("given up: too old")
        try:
            await self._mailers[job.kind](job.payload)
        except MailDelayed as error:
            log.warning("mail %d delayed: %s", job.id, error)
            blame = RECIPIENT_DEFERRED if isinstance(error, RecipientDelayed) else ""
            return Later(_back_off(job.attempts), f"{blame}{error}")
        except MailRefused as error:
            log.warning("mail %d refused: %s", job.id, error)
            return Dead(str(error))
        except Unavailable:
            return Later(_AWAY_DELAY, "a server was away")
        except Exception as error:
            log.exception("mail %d failed", job.id)
            reason = type(error).__name__
            return Dead(reason) if job.attempts >= _POISON_ATTEMPTS else Later(_back_off(job.attempts), reason)
        return Done()

    async def _settle(self, job: Job, outcome: Later | Dead) -> None:
        """Write down what became of a mail that was not sent. When PostgreSQL stays away its lease runs out."""
        for _ in range(_SETTLE_TRIES):
            try:
                async with self._database.statement() as db:
                    held = self._held[job.id]
                    match outcome:
                        case Later(delay, reason):
                            await db.outbox.reschedule(held, delay, reason)
                        case Dead(reason):
                            await db.outbox.mark_dead(held, reason)
            except Unavailable:
                await asyncio.sleep(0.5)
            else:
                return

    def _forget(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()):
            log.error("a mail fell out of hand, and is sent again when its lease ends", exc_info=error)
