"""Who sent a request, and how a device is told by what it will be known."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Any, TypeVar

from fastapi import Cookie, Depends, Header, Request, Response

from api.deps import CurrentPrincipal
from models.context.audit import Actor
from models.context.client import ClientInfo, FlowResult, client_networks
from models.context.masking import masked_network
from models.context.owner import Owner
from models.responses.common import Answer

COOKIE = "__Host-device"
HEADER = "X-Device"

_COOKIE_SAYS = "Set by every finished flow: the device is then known to the account."
_HEADER_SAYS = (
    "For apps, in place of the cookie: `new` at first, then the `X-Device` of the last finished flow's last answer. "
    "A known device has limits of its own, and another ladder, at `/login` and `/recover`."
)

_LONGEST_USER_AGENT = 200
"""Characters; enough to tell browser and system."""

_AnswerType = TypeVar("_AnswerType", bound=Answer | None)


async def _from_address(request: Request) -> ClientInfo:
    # The address is that of the connection, or what a trusted proxy told the server: no header is looked at here.
    said = request.headers.get("user-agent", "")[:_LONGEST_USER_AGENT]
    user_agent = "".join(letter for letter in said if letter.isprintable())
    return ClientInfo(client_networks(request.client.host if request.client else None), user_agent=user_agent)


ClientAddress = Annotated[ClientInfo, Depends(_from_address)]


async def _actor(request: Request, bearer: CurrentPrincipal, client: ClientAddress) -> Actor:
    actor = Actor(bearer.user_id, masked_network(client.networks), bearer.permissions, bearer.roles)
    request.state.actor = actor  # a refusal of what he tries is written down with his name, see api/problems.py
    return actor


CurrentActor = Annotated[Actor, Depends(_actor)]
"""Whoever is signed in, as one who acts on accounts."""


async def _client(
    client: ClientAddress,
    cookie: Annotated[str, Cookie(alias=COOKIE, title="Device", description=_COOKIE_SAYS)] = "",
    header: Annotated[str | None, Header(alias=HEADER, description=_HEADER_SAYS)] = None,
) -> ClientInfo:
    if header is None:
        return replace(client, device_tokens=cookie)
    return replace(client, device_tokens=header, uses_header=True)


_KNOWN_FROM_NOW_ON = {
    "X-Device": {
        "schema": {"type": "string"},
        "description": "Only for who has sent `X-Device`: what the device is known by from now on. Keep it.",
    },
    "Set-Cookie": {
        "schema": {"type": "string"},
        "description": f"Only for who has not: the cookie `{COOKIE}`, which says the same.",
    },
}


def device_headers(status: int) -> dict[int | str, dict[str, Any]]:
    """The headers of a flow's last answer, for the OpenAPI description of a route."""
    return {status: {"headers": _KNOWN_FROM_NOW_ON}}


CurrentClient = Annotated[ClientInfo, Depends(_client)]


async def _owner(bearer: CurrentPrincipal, actor: CurrentActor, client: ClientAddress) -> Owner:
    return Owner(bearer.user, bearer.session_id, actor, client)


async def _owner_on_device(bearer: CurrentPrincipal, actor: CurrentActor, client: CurrentClient) -> Owner:
    return Owner(bearer.user, bearer.session_id, actor, client)


CurrentUser = Annotated[Owner, Depends(_owner)]
"""Whoever is signed in, as one who acts on the own account."""
CurrentUserOnDevice = Annotated[Owner, Depends(_owner_on_device)]
"""The same with what the device is known by."""


def set_device_token(response: Response, client: ClientInfo, finished: FlowResult[_AnswerType]) -> _AnswerType:
    """Send the device tokens in a cookie, or in ``X-Device`` to a client that has sent it; return the answer.

    Scripts of a browser never see the cookie.
    """
    if client.uses_header:
        response.headers[HEADER] = finished.device_tokens
    else:
        response.set_cookie(
            COOKIE,
            finished.device_tokens,
            max_age=finished.device_ttl,
            path="/",
            secure=True,
            httponly=True,
            samesite="lax",
        )
    return finished.answer
