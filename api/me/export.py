"""/me/export: users export their data, which is streamed."""

from __future__ import annotations

from collections.abc import AsyncIterator

from fastapi import APIRouter, Depends
from fastapi.responses import StreamingResponse
from pydantic import TypeAdapter

from api.deps import Exports
from api.openapi.responses import error_responses, permission_errors
from api.request_context import CurrentUser
from api.strict_json import StrictJsonRoute
from jwt_tools.decorators import guard, requires
from models.errors import TooManyRequests
from models.responses.export import AuditedEvent, Export, ExportInPages
from models.values.permission import Permission

router = APIRouter(prefix="/me", tags=["account"], route_class=StrictJsonRoute, dependencies=[Depends(guard)])

_LINES = TypeAdapter(list[AuditedEvent])


@router.get(
    "/export",
    summary="Export your data",
    response_model=Export,
    response_description="Everything that is stored about the account.",
    responses=error_responses(*permission_errors(Permission.ACCOUNT_READ), TooManyRequests())
    | {200: {"headers": {"Content-Disposition": {"schema": {"type": "string"}, "description": "A file name."}}}},
)
@requires(Permission.ACCOUNT_READ)
async def export_own_account(exports: Exports, owner: CurrentUser) -> StreamingResponse:
    """Export everything that is stored about the account: profile, sessions, lines of the audit log, unsent mail.

    If a server becomes unavailable during the export, the connection is closed and the JSON is incomplete: try again.
    """
    return StreamingResponse(
        _written(await exports.export(owner)),
        media_type="application/json",
        headers={"Content-Disposition": 'attachment; filename="account.json"'},
    )


async def _written(export: ExportInPages) -> AsyncIterator[bytes]:
    """Yield one `Export` as JSON; a failure leaves the JSON unterminated, so that no reader takes it for complete."""
    yield export.head.model_dump_json(exclude={"audit_log"}).encode().removesuffix(b"}") + b',"audit_log":['
    comma = b""
    async for lines in export.pages:
        yield comma + _LINES.dump_json(lines)[1:-1]
        comma = b","
    yield b"]}"
