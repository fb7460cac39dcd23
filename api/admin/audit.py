"""/admin/audit: administrators read the audit log."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Query

from api.deps import AuditLog
from api.openapi.responses import error_responses, permission_errors, validation_error
from jwt_tools.decorators import guard, requires
from models.admin.audit_log import AuditPage, AuditQuery
from models.values.permission import Permission

router = APIRouter(prefix="/admin/audit", tags=["audit"], dependencies=[Depends(guard)])


@router.get(
    "",
    summary="Read the audit log",
    response_description="A page of the matching lines, newest first.",
    responses=error_responses(
        *permission_errors(Permission.AUDIT_READ),
        validation_error("query.since", "must be a moment with its time zone, such as 2026-11-22T18:00:00Z"),
    ),
)
@requires(Permission.AUDIT_READ)
async def read_audit_log(query: Annotated[AuditQuery, Query()], audit_log: AuditLog) -> AuditPage:
    """List security events: changes of accounts and refused requests. Names and addresses are masked."""
    return await audit_log.search(query)
