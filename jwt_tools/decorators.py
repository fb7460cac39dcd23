"""Guards FastAPI routes: ``@requires("reports:read")``, ``@role_required("admin")``, ``@signed_in``.

A guarded router has ``dependencies=[Depends(guard)]``. `guard` verifies the token with the `TokenVerifier` in
``app.state.token_verifier``, and checks what the route's decorator requires. A route without a decorator is refused.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, TypeVar
from weakref import WeakKeyDictionary

from fastapi import Depends, Request
from fastapi.security import HTTPBearer

from jwt_tools.decode import Principal
from jwt_tools.errors import InvalidToken, MissingPermission, UnmarkedRoute

_Route = TypeVar("_Route", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True)
class Requirement:
    """What a principal needs: one permission, one role, or neither."""

    permission: str | None = None
    role: str | None = None

    def check(self, principal: Principal) -> None:
        """Check that the principal has what is required.

        Raises:
            MissingPermission: the principal lacks it.
        """
        if self.permission is not None and self.permission not in principal.permissions:
            raise MissingPermission(self.permission, principal.subject)
        if self.role is not None and self.role not in principal.roles:
            raise MissingPermission(self.role, principal.subject)


_marks: WeakKeyDictionary[Callable[..., Any], Requirement] = WeakKeyDictionary()


def requirement_of(route: Callable[..., Any]) -> Requirement | None:
    """Return what a route requires; None for a route without a decorator."""
    return _marks.get(route)


def _mark(requirement: Requirement) -> Callable[[_Route], _Route]:
    def note(route: _Route) -> _Route:
        _marks[route] = requirement
        return route

    return note


def requires(permission: str) -> Callable[[_Route], _Route]:
    """Require a permission, such as ``reports:read``."""
    return _mark(Requirement(permission=permission))


def role_required(role: str) -> Callable[[_Route], _Route]:
    """Require a role, such as ``admin``."""
    return _mark(Requirement(role=role))


def signed_in(route: _Route) -> _Route:
    """Require a valid token and nothing more."""
    return _mark(Requirement())(route)


bearer_scheme = HTTPBearer(
    auto_error=False, scheme_name="access token", bearerFormat="JWT", description="An access token of the issuer."
)
"""For the OpenAPI description alone; it refuses nothing."""


def bearer_token(request: Request) -> str:
    """Return the token of the ``Authorization: Bearer`` header (RFC 6750 section 2.1).

    Raises:
        InvalidToken: there is no such header, more than one, or one of another form.
    """
    values = request.headers.getlist("authorization")
    scheme, _, token = values[0].partition(" ") if len(values) == 1 else ("", "", "")
    if scheme.lower() != "bearer" or not token or " " in token:
        raise InvalidToken("authorization header")
    return token


async def guard(request: Request, _documented: Annotated[object, Depends(bearer_scheme)]) -> Principal:
    """Return the principal, if the token is valid and allows what the route requires.

    Raises:
        InvalidToken: see `TokenVerifier.verify`.
        MissingPermission: the token does not allow it.
        UnmarkedRoute: the route has no decorator that says what it requires.
    """
    principal: Principal = await request.app.state.token_verifier.verify(bearer_token(request))
    requirement = requirement_of(request.scope["route"].endpoint)
    if requirement is None:
        raise UnmarkedRoute
    requirement.check(principal)
    return principal


SignedIn = Annotated[Principal, Depends(guard)]
"""The principal, for routes that need it; verified once per request."""
