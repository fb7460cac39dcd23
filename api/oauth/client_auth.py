"""Authenticates the service that calls: HTTP Basic (RFC 6749 section 2.3.1)."""

from __future__ import annotations

import base64
from typing import Annotated
from urllib.parse import unquote

from fastapi import Depends, Request
from fastapi.security.http import HTTPBase

from api.deps import Clients
from models.errors import InvalidClient

# For the OpenAPI description alone: FastAPI's HTTPBasic would read the credentials, too, and answer in another format.
_basic_scheme = HTTPBase(
    scheme="basic", auto_error=False, scheme_name="service", description="A name of SERVICE_CLIENTS and its secret."
)


def _name_and_secret(request: Request) -> tuple[str, str]:
    """Return name and secret of the ``Authorization: Basic`` header; a request must have exactly one."""
    values = request.headers.getlist("authorization")
    scheme, _, credentials = values[0].partition(" ") if len(values) == 1 else ("", "", "")
    if scheme.lower() != "basic":
        raise InvalidClient
    try:
        name, colon, secret = base64.b64decode(credentials, validate=True).decode().partition(":")
    except ValueError:
        raise InvalidClient from None
    if not colon:
        raise InvalidClient
    return unquote(name), unquote(secret)


async def _service(request: Request, clients: Clients, _documented: Annotated[object, Depends(_basic_scheme)]) -> None:
    clients.authenticate(*_name_and_secret(request))


AuthenticatedService = Annotated[None, Depends(_service)]
"""Refuses every request that is not from a service of SERVICE_CLIENTS."""
