"""Searches the audit log; nothing here changes it."""

from __future__ import annotations

from dataclasses import dataclass

from database.engine import Database
from models.admin.audit_log import AuditPage, AuditQuery
from models.admin.pagination import paginate


@dataclass(frozen=True, slots=True)
class AuditLogService:
    """Searches the audit log for administrators."""

    database: Database

    async def search(self, query: AuditQuery) -> AuditPage:
        """Return a page of the matching lines, newest first.

        Raises:
            Unavailable: PostgreSQL is unavailable.
        """
        async with self.database.statement() as db:
            found = await db.audit.list(query)
        page, next_cursor = paginate(found, query.limit, lambda line: line.id)
        return AuditPage(items=page, next=next_cursor)
