"""Who sent a request: the client, its device, and the signed-in user."""

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

_COOKIE_TEXT = "Set at the end of every flow: from then on, the device is known to the account."
_HEADER_TEXT = (
    "For apps, in place of the cookie: `new` at first, then the `X-Device` of the last answer that had one. "
    "At `/login` and `/recover`, a known device has its own limits and shorter codes."
)

_MAX_USER_AGENT = 200
"""Characters; enough to recognise browser and system."""

_AnswerType = TypeVar("_AnswerType", bound=Answer | None)


async def _client_address(request: Request) -> ClientInfo:
    # The address is that of the connection, or that which a trusted proxy reported; this code reads no header for it.
    sent = request.headers.get("user-agent", "")[:_MAX_USER_AGENT]
    user_agent = "".join(letter for letter in sent if letter.isprintable())
    return ClientInfo(client_networks(request.client.host if request.client else None), user_agent=user_agent)


ClientAddress = Annotated[ClientInfo, Depends(_client_address)]


async def _actor(request: Request, user: CurrentPrincipal, client: ClientAddress) -> Actor:
    actor = Actor(user.user_id, masked_network(client.networks), user.permissions, user.roles)
    request.state.actor = actor  # the audit log names the user in a refusal, see api/problems.py
    return actor


CurrentActor = Annotated[Actor, Depends(_actor)]
"""The signed-in user, as the audit log and the rules of administration see the user."""


async def _client(
    client: ClientAddress,
    cookie: Annotated[str, Cookie(alias=COOKIE, title="Device", description=_COOKIE_TEXT)] = "",
    header: Annotated[str | None, Header(alias=HEADER, description=_HEADER_TEXT)] = None,
) -> ClientInfo:
    if header is None:
        return replace(client, device_tokens=cookie)
    return replace(client, device_tokens=header, uses_header=True)


_DEVICE_HEADERS = {
    "X-Device": {
        "schema": {"type": "string"},
        "description": "Only if the request had `X-Device`: the device's new token. Store it.",
    },
    "Set-Cookie": {
        "schema": {"type": "string"},
        "description": f"Only if the request had no `X-Device`: the cookie `{COOKIE}` with the device's new token.",
    },
}


def device_headers(status: int) -> dict[int | str, dict[str, Any]]:
    """Return the headers of a flow's last answer, for the OpenAPI description."""
    return {status: {"headers": _DEVICE_HEADERS}}


CurrentClient = Annotated[ClientInfo, Depends(_client)]


async def _owner(user: CurrentPrincipal, actor: CurrentActor, client: ClientAddress) -> Owner:
    return Owner(user.user, user.session_id, actor, client)


async def _owner_on_device(user: CurrentPrincipal, actor: CurrentActor, client: CurrentClient) -> Owner:
    return Owner(user.user, user.session_id, actor, client)


CurrentUser = Annotated[Owner, Depends(_owner)]
"""The signed-in user, who acts on the own account."""
CurrentUserOnDevice = Annotated[Owner, Depends(_owner_on_device)]
"""The same with the tokens of the device."""


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
