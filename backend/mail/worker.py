"""Runs the outbox: leases jobs, has their mails sent and settles them, whichever server is away meanwhile."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta

from backend.counters import Counters
from backend.mail.enqueue import LEASE, LocalWorker, MailQueue
from backend.mail.handlers import MailHandler
from backend.mail.smtp import MailDelayed, MailRefused, RecipientDelayed
from database.engine import Database
from database.mail.outbox import RECIPIENT_DEFERRED, Job
from database.mail.outbox_listener import listen
from models.context.counters import Counter
from models.context.request_id import request_id
from models.errors import Unavailable

log = logging.getLogger(__name__)

_RENEW_EVERY = 2.0
_POLL_EVERY = 1.0
"""Seconds. Other workers take over the mail of a killed one after the lease and one poll."""

_BACK_OFF = (15, 60, 180, 420)
"""Seconds before the next attempt; the last number is repeated (service.md, section 8)."""

_AWAY_DELAY = timedelta(seconds=2)
_POISON_ATTEMPTS = 3
"""Attempts that end in an unexpected error, after which a job is a dead letter (threats.md, fault 25)."""

_GATHER = 0.2
"""Seconds between two deletions of sent mail from the outbox: the first runs at once, under load each deletes all
that was sent since the last. What a killed worker has sent and not deleted is sent a second time."""

_SETTLE_TRIES = 60
_GOODBYE = 3.0
"""Seconds that a stop waits for mail in flight; the whole stop takes at most 10."""


@dataclass(frozen=True, slots=True)
class Chore:
    """A task that is repeated every so many seconds."""

    do: Callable[[], Awaitable[None]]
    every: float


@dataclass(frozen=True, slots=True)
class Done:
    """SMTP has taken the mail, or it is not needed any more."""


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


@dataclass(slots=True, eq=False)
class MailWorker:
    """Sends the mail of the outbox, at most ``concurrency`` mails at the same time."""

    database: Database
    listen_url: str
    mail_queue: MailQueue
    handlers: Mapping[str, MailHandler]
    chores: Sequence[Chore]
    counters: Counters
    concurrency: int
    _in_flight: dict[int, Job] = field(init=False, default_factory=dict)
    _sent: set[int] = field(init=False, default_factory=set)
    _some_sent: asyncio.Event = field(init=False, default_factory=asyncio.Event)
    # A lease that is read before a deletion must not bring back a job after it.
    _outbox: asyncio.Lock = field(init=False, default_factory=asyncio.Lock)
    _tasks: set[asyncio.Task[None]] = field(init=False, default_factory=set)
    _may_be_more: bool = field(init=False, default=False)

    async def run(self) -> None:
        """Work until cancelled; mail in flight is then finished or, if SMTP is slow, left to the end of its lease."""
        self.mail_queue.local_worker = LocalWorker(self._free_slots, self._submit)
        try:
            async with asyncio.TaskGroup() as tasks:
                for duty, pause in (
                    (self._listen, _POLL_EVERY),
                    (self._send_due, 0.0),
                    (self._renew, _RENEW_EVERY),
                    (self._delete_sent, 0.0),
                    *((chore.do, chore.every) for chore in self.chores),
                ):
                    tasks.create_task(self._for_ever(duty, pause))
        finally:
            self.mail_queue.local_worker = None
            if self._tasks:
                await asyncio.wait(self._tasks, timeout=_GOODBYE)
            with suppress(Unavailable):
                await self._delete()

    async def _for_ever(self, duty: Callable[[], Awaitable[None]], pause: float) -> None:
        """Repeat one duty; after an error too."""
        while True:
            try:
                await duty()
            except Unavailable:
                log.warning("a server is away, mail may have to wait")
                await asyncio.sleep(_POLL_EVERY)
            except Exception:
                log.exception("a duty of the mail worker failed, and is repeated")
                await asyncio.sleep(_POLL_EVERY)
            else:
                await asyncio.sleep(pause)

    async def _listen(self) -> None:
        async with listen(self.listen_url, self.mail_queue.wakeup) as lost:
            self.mail_queue.wakeup.set()
            await lost.wait()

    async def _send_due(self) -> None:
        """Lease as many due mails as there are free slots, then wait for a wakeup, for at most a second."""
        self.mail_queue.wakeup.clear()
        free = self._free_slots() - self.mail_queue.reserved
        jobs: list[Job] = []
        if free > 0:
            async with self._outbox:
                async with self.database.statement() as db:
                    jobs = await db.outbox.lease(free, LEASE)
                for job in jobs:
                    self._submit(job)
        self._may_be_more = len(jobs) >= free
        # Not `wait_for`: in Python 3.11 it swallows a cancellation that comes with the event, and no stop would end.
        with suppress(TimeoutError):
            async with asyncio.timeout(_POLL_EVERY):
                await self.mail_queue.wakeup.wait()

    def _free_slots(self) -> int:
        return self.concurrency - len(self._in_flight)

    def _submit(self, job: Job) -> None:
        if job.id in self._sent:
            return
        is_in_flight = job.id in self._in_flight
        self._in_flight[job.id] = job
        # A lease that has expired may be leased again by this worker while the mail is in flight: it goes on, renewed.
        if not is_in_flight:
            task = asyncio.create_task(self._handle(job))
            self._tasks.add(task)
            task.add_done_callback(self._on_task_done)

    async def _delete_sent(self) -> None:
        """Wait until mail has been sent, and delete it from the outbox in batches."""
        if not self._sent:
            self._some_sent.clear()
            await self._some_sent.wait()
        while self._sent:
            # Retried soon: once the lease is over, another worker would send the mail again.
            with suppress(Unavailable):
                await self._delete()
            await asyncio.sleep(_GATHER)

    async def _delete(self) -> None:
        """Delete all sent mail from the outbox."""
        async with self._outbox:
            if sent := set(self._sent):
                async with self.database.statement() as db:
                    await db.outbox.delete_sent(sent)
                self._sent -= sent

    async def _renew(self) -> None:
        if self._in_flight:
            async with self.database.statement() as db:
                await db.outbox.renew(list(self._in_flight.values()), LEASE)

    async def _handle(self, job: Job) -> None:
        """Attempt a job once, and settle it."""
        request_id.set(job.payload.get("request"))
        try:
            outcome = await self._attempt(job)
            self.counters.count(Counter.MAILS, job.kind, type(outcome).__name__.lower())
            if isinstance(outcome, Done):
                self._sent.add(job.id)
                self._some_sent.set()
                if self.mail_queue.local_worker is None:  # the worker stops, and `_delete_sent` runs no more
                    await self._delete()
            else:
                await self._settle(job, outcome)
        finally:
            del self._in_flight[job.id]
            if self._may_be_more:
                self.mail_queue.wakeup.set()

    async def _attempt(self, job: Job) -> Outcome:
        """Send the mail, and return what becomes of the job."""
        if job.given_up:
            return Dead("given up: too old")
        try:
            await self.handlers[job.kind](job)
        except MailDelayed as error:
            log.warning("mail %d delayed: %s", job.id, error)
            prefix = RECIPIENT_DEFERRED if isinstance(error, RecipientDelayed) else ""
            return Later(_back_off(job.attempts), f"{prefix}{error}")
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
        """Store the outcome of a mail that was not sent. If PostgreSQL stays away, the lease expires."""
        for _ in range(_SETTLE_TRIES):
            try:
                async with self.database.statement() as db:
                    leased = self._in_flight[job.id]
                    match outcome:
                        case Later(delay, reason):
                            await db.outbox.reschedule(leased, delay, reason)
                        case Dead(reason):
                            await db.outbox.mark_dead(leased, reason)
            except Unavailable:
                await asyncio.sleep(0.5)
            else:
                return

    def _on_task_done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()):
            log.error("a mail was not settled, and is sent again when its lease ends", exc_info=error)
