"""A service beside ours: our tokens open its doors, and it calls us for our public keys alone.

``ISSUER=http://127.0.0.1:8000 uvicorn examples.reports_service.main:app --port 8100``
"""

from __future__ import annotations

import os

from fastapi import APIRouter, Depends, FastAPI

from jwt_tools.decorators import SignedIn, guard, requires, role_required, signed_in
from jwt_tools.protect import protect

ISSUER = os.environ.get("ISSUER")
if not ISSUER:
    raise SystemExit("Set ISSUER to the address of the service that signs the tokens, such as http://127.0.0.1:8000")

app = FastAPI(title="Reports")
protect(app, ISSUER)

room = APIRouter(dependencies=[Depends(guard)])


@room.get("/reports")
@requires("reports:read")
async def list_reports() -> list[str]:
    """For whoever may read reports."""
    return ["spring", "summer"]


@room.get("/drafts")
@role_required("admin")
async def list_drafts() -> list[str]:
    """For administrators."""
    return ["autumn"]


@room.get("/whoami")
@signed_in
async def tell_who_calls(principal: SignedIn) -> dict[str, str]:
    """For whoever has a good token."""
    return {"id": principal.subject, "login": principal.login}


app.include_router(room)
