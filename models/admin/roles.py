"""Roles and permissions as an administrator writes and reads them."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, Field, StrictStr

from models.requests.flows import Form, Printable
from models.responses.common import Answer
from models.values.patterns import fitting

MOST_PERMISSIONS = 100
"""In all, each of at most 40 letters: whoever has every one of them still has a token that fits into the 8 kB that a
header may have (`jwt_tools.decode` takes no longer one)."""

MOST_ROLES = 20
"""Of one user, for the same reason."""

_ROLE = "[a-z][a-z0-9_-]{1,31}"
_PERMISSION = "[a-z][a-z0-9_-]*:[a-z][a-z0-9_-]*"
_SHORT_PERMISSION = f"(?=.{{3,40}}$){_PERMISSION}"

RoleName = Annotated[
    StrictStr,
    AfterValidator(fitting(_ROLE, "must be 2 to 32 small Latin letters, digits, _ or -, a letter first")),
    Field(examples=["reporter"], json_schema_extra={"pattern": f"^{_ROLE}$"}),
]
PermissionName = Annotated[
    StrictStr,
    AfterValidator(fitting(_SHORT_PERMISSION, "must be resource:action, such as reports:read, of at most 40 letters")),
    Field(
        examples=["reports:read"], json_schema_extra={"pattern": f"^{_PERMISSION}$", "minLength": 3, "maxLength": 40}
    ),
]
Description = Annotated[
    StrictStr, Printable, Field(min_length=1, max_length=200, description="For whoever reads the list.")
]
Permissions = Annotated[list[PermissionName], Field(max_length=MOST_PERMISSIONS, examples=[["reports:read"]])]


class NewRole(Form):
    """A role about to be."""

    name: RoleName
    description: Annotated[Description, Field(examples=["Reads the reports."])]
    permissions: Permissions


class RoleChange(Form):
    """What is to be different about a role; what is left out stays."""

    description: Annotated[Description, Field(examples=["Reads the reports."])] | None = None
    permissions: Permissions | None = None


class NewPermission(Form):
    """A permission about to be, for a service of yours to ask for."""

    name: PermissionName
    description: Annotated[Description, Field(examples=["See the reports."])]


class PermissionChange(Form):
    """Another description."""

    description: Annotated[Description, Field(examples=["See the reports."])]


class RoleResponse(Answer):
    """A named set of permissions."""

    name: str = Field(examples=["reporter"])
    description: str = Field(examples=["Reads the reports."])
    permissions: list[str] = Field(examples=[["reports:read"]])
    built_in: bool = Field(description="Whether the service brings it along; such a one stays.", examples=[False])


class PermissionResponse(Answer):
    """One thing that may be allowed."""

    name: str = Field(examples=["reports:read"])
    description: str = Field(examples=["See the reports."])
    built_in: bool = Field(description="Whether the service itself asks for it; such a one stays.", examples=[False])
