"""/me/export: the owner's copy, written piece by piece."""

from __future__ import annotations

from collections.abc import AsyncIterator

from fastapi import APIRouter, Depends
from fastapi.responses import StreamingResponse
from pydantic import TypeAdapter

from api.deps import Exports
from api.openapi.guarded import refusals
from api.problems import error_responses
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
    summary="Take along all that is known of the own account",
    response_model=Export,
    response_description="Everything, as of now.",
    responses=error_responses(*refusals(Permission.ACCOUNT_READ), TooManyRequests())
    | {200: {"headers": {"Content-Disposition": {"schema": {"type": "string"}, "description": "A file to keep."}}}},
)
@requires(Permission.ACCOUNT_READ)
async def export_own_account(exports: Exports, owner: CurrentUser) -> StreamingResponse:
    """Everything that the service knows of the account: itself, its sessions, its lines of the audit log, its mail.

    Should a server go away while it is written, the connection is cut and the JSON is incomplete: ask once more.
    """
    return StreamingResponse(
        _written(await exports.export(owner)),
        media_type="application/json",
        headers={"Content-Disposition": 'attachment; filename="account.json"'},
    )


async def _written(export: ExportInPages) -> AsyncIterator[bytes]:
    """One `Export` as JSON. What fails in the middle leaves it without an end, so that nobody takes it for whole."""
    yield export.head.model_dump_json(exclude={"audit_log"}).encode().removesuffix(b"}") + b',"audit_log":['
    comma = b""
    async for lines in export.pages:
        yield comma + _LINES.dump_json(lines)[1:-1]
        comma = b","
    yield b"]}"
