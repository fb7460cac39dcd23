"""Exports everything that the service has stored about one user."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID

from backend.audit import audit
from backend.derived_keys import Keys
from backend.passwords.hasher import describe_hash
from backend.protection.code_length_ladder import ladder_subjects
from backend.protection.rate_limits import RateLimits
from backend.sessions.profile import profile
from backend.sessions.service import to_own_session
from database.engine import Database
from models.admin.audit_log import AuditEntry
from models.context.audit import Event
from models.context.owner import Owner
from models.errors import InvalidAccessToken
from models.responses.export import AuditedEvent, Export, ExportInPages, StoredPassword, Whose

_KEPT_FOR_MINUTES = (
    "Valkey holds data that expires by itself: registrations, log-ins, recoveries and changes that wait for a code, "
    "with their address, for at most {minutes} minutes; a copy of this account, for a minute; rescue codes, by their "
    "digest, for two hours; and the counters of rate limits, by client address, user id or keyed hash of a name, until "
    "they are full again. A mail with a code waits in PostgreSQL under the id of its flow, without an address."
)

_PAGE = 500
"""Lines of the audit log in memory at once; converting them takes the event loop a few milliseconds."""


@dataclass(frozen=True, slots=True)
class ExportService:
    """Exports one user's data as of one moment."""

    database: Database
    limits: RateLimits
    keys: Keys
    flow_ttl: int

    async def export(self, owner: Owner) -> ExportInPages:
        """Return the export; its last audit line is that of the export itself.

        Raises:
            InvalidAccessToken: the account was deleted a moment ago.
            TooManyRequests: too many steps from this address, or too many exports of this account.
            Unavailable: a server is unavailable; reading the pages can raise it, too.
        """
        await self.limits.charge_export(owner.client, owner.user_id)
        async with self.database.snapshot() as db:
            account = await db.users.find_with_access(owner.user_id)
            if account is None:
                raise InvalidAccessToken
            last = await audit(db, Event.ACCOUNT_EXPORTED, owner.actor, owner.user_id)
            sessions = await db.sessions.list_of_user(owner.user_id)
            mails = await db.outbox.list_of_user(owner.user_id)
            budgets, reserved = await db.ladder.list_of_subjects(ladder_subjects(account.user, self.keys))
        algorithm, iterations = describe_hash(account.user.password_hash)
        head = Export(
            exported_at=datetime.now(UTC),
            user=profile(account),
            blocked=account.user.blocked,
            version=account.user.version,
            password=StoredPassword(algorithm=algorithm, iterations=iterations),
            sessions=[to_own_session(session, owner.session_id) for session in sessions],
            unsent_mails=mails,
            guess_budgets=budgets,
            guesses_reserved=reserved,
            kept_for_minutes=_KEPT_FOR_MINUTES.format(minutes=-(-self.flow_ttl // 60)),
            audit_log=[],
        )
        return ExportInPages(head, self._audit_log(owner.user_id, last))

    async def _audit_log(self, user_id: UUID, last: int) -> AsyncIterator[list[AuditedEvent]]:
        # No transaction spans the pages: a slow reader would hold one of few connections.
        seen = 0
        while seen < last:
            async with self.database.statement() as db:
                lines = await db.audit.list_of_user(user_id, after=seen, last=last, limit=_PAGE)
            yield [_event(line, user_id) for line in lines]
            seen = lines[-1].id


def _event(line: AuditEntry, user_id: UUID) -> AuditedEvent:
    return AuditedEvent(
        at=line.at,
        event=line.event,
        by=_whose(line.actor, user_id),
        about=_whose(line.subject, user_id),
        source=line.source,
        details=line.details,
        times=line.times,
    )


def _whose(named: UUID | None, user_id: UUID) -> Whose | None:
    if named is None:
        return None
    return "you" if named == user_id else "somebody else"
