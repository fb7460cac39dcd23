"""Who sent a request, and how a device is told by what it will be known."""

from __future__ import annotations

from typing import Annotated, TypeVar

from fastapi import Cookie, Depends, Header, Request, Response

from models.answers import Answer
from models.caller import Caller, Finished, networks_of

COOKIE = "__Host-device"
HEADER = "X-Device"

_COOKIE_LIFE = 90 * 86_400
"""Seconds; what DEVICE_TTL says decides, a cookie may only end sooner."""

_COOKIE_SAYS = "Set by every finished flow: the device is then known to the account."
_HEADER_SAYS = (
    "For apps, in place of the cookie: `new` at first, then what the last answer's `X-Device` said. "
    "A known device has limits and a ladder of its own."
)

_AnswerType = TypeVar("_AnswerType", bound=Answer | None)


async def _caller(
    request: Request,
    cookie: Annotated[str, Cookie(alias=COOKIE, description=_COOKIE_SAYS)] = "",
    header: Annotated[str | None, Header(alias=HEADER, description=_HEADER_SAYS)] = None,
) -> Caller:
    # The address is that of the connection, or what a trusted proxy told the server: no header is looked at here.
    address = request.client.host if request.client else None
    if header is None:
        return Caller(networks_of(address), cookie)
    return Caller(networks_of(address), header, is_app=True)


FromCaller = Annotated[Caller, Depends(_caller)]


def remember(response: Response, caller: Caller, finished: Finished[_AnswerType]) -> _AnswerType:
    """Give the device its cards, the way it keeps them; return the answer.

    A browser's scripts never see them. Only who has sent ``X-Device`` is answered in it.
    """
    if caller.is_app:
        response.headers[HEADER] = finished.cards
    else:
        response.set_cookie(
            COOKIE, finished.cards, max_age=_COOKIE_LIFE, path="/", secure=True, httponly=True, samesite="lax"
        )
    return finished.answer
