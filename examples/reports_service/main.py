"""A service that accepts our tokens; it calls us only for our public keys.

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

router = APIRouter(dependencies=[Depends(guard)])


@router.get("/reports")
@requires("reports:read")
async def list_reports() -> list[str]:
    """Return the reports, for users who may read them."""
    return ["spring", "summer"]


@router.get("/drafts")
@role_required("admin")
async def list_drafts() -> list[str]:
    """Return the drafts, for administrators."""
    return ["autumn"]


@router.get("/whoami")
@signed_in
async def show_user(principal: SignedIn) -> dict[str, str]:
    """Return the user, for every valid token."""
    return {"id": principal.subject, "login": principal.login}


app.include_router(router)
