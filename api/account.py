"""GET /me: the own account."""

from __future__ import annotations

from fastapi import APIRouter, Depends

from api.deps import FromBearer
from api.problems import SEND_TOKEN, documented
from jwt_tools.decorators import guard, requires
from models.answers import UserProfile
from models.errors import InsufficientScope, InvalidAccessToken, Unavailable
from models.permission import Permission

router = APIRouter(prefix="/me", tags=["account"], dependencies=[Depends(guard)])


@router.get(
    "",
    summary="Read the own account",
    response_description="The account as it is now.",
    responses=documented(InvalidAccessToken(SEND_TOKEN), InsufficientScope("This needs account:read."), Unavailable()),
)
@requires(Permission.ACCOUNT_READ)
async def show_own_account(bearer: FromBearer) -> UserProfile:
    """The account that the access token belongs to, as it is now, with roles and permissions."""
    return bearer.user
