"""What every route behind an access token is documented with."""

from __future__ import annotations

from api.problems import SEND_TOKEN, validation_error
from models.errors import InsufficientScope, InvalidAccessToken, ServiceError, Unavailable
from models.values.permission import Permission

_AN_ID = "must be an id, such as 019aaa3e-1c53-7a7d-9a2e-5d4f0c1b2a39"


def refusals(permission: Permission) -> tuple[ServiceError, ...]:
    """What the route refuses whoever has no good token, or lacks the permission."""
    return InvalidAccessToken(SEND_TOKEN), InsufficientScope(f"This needs {permission}."), Unavailable()


def invalid_id(field: str) -> ServiceError:
    """The refusal of a part of the path that is no id."""
    return validation_error(f"path.{field}", _AN_ID)
