"""Requests and responses about roles and permissions."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, Field, StrictStr

from models.requests.flows import Form, Printable
from models.responses.common import Answer
from models.values.patterns import pattern_validator

MOST_PERMISSIONS = 100
"""In all, of at most 40 characters each: the token of a user who has all of them still fits into the 8 kB of an HTTP
header (`jwt_tools.decode` refuses longer tokens)."""

MOST_ROLES = 20
"""Of one user, with the same limit of a token in mind."""

_ROLE = "[a-z][a-z0-9_-]{1,31}"
_PERMISSION = "[a-z][a-z0-9_-]*:[a-z][a-z0-9_-]*"
_SHORT_PERMISSION = f"(?=.{{3,40}}$){_PERMISSION}"

RoleName = Annotated[
    StrictStr,
    AfterValidator(pattern_validator(_ROLE, "must be 2 to 32 small Latin letters, digits, _ or -, a letter first")),
    Field(examples=["reporter"], json_schema_extra={"pattern": f"^{_ROLE}$"}),
]
PermissionName = Annotated[
    StrictStr,
    AfterValidator(
        pattern_validator(_SHORT_PERMISSION, "must be resource:action, such as reports:read, of at most 40 letters")
    ),
    Field(
        examples=["reports:read"], json_schema_extra={"pattern": f"^{_PERMISSION}$", "minLength": 3, "maxLength": 40}
    ),
]
Description = Annotated[
    StrictStr, Printable, Field(min_length=1, max_length=200, description="What it is for, in words.")
]
Permissions = Annotated[list[PermissionName], Field(max_length=MOST_PERMISSIONS, examples=[["reports:read"]])]


class NewRole(Form):
    """A role to create."""

    name: RoleName
    description: Annotated[Description, Field(examples=["Reads the reports."])]
    permissions: Permissions


class RoleChange(Form):
    """Changes to a role; a field that is absent stays as it is."""

    description: Annotated[Description, Field(examples=["Reads the reports."])] | None = None
    permissions: Permissions | None = None


class NewPermission(Form):
    """A permission to create, which your other services can require."""

    name: PermissionName
    description: Annotated[Description, Field(examples=["See the reports."])]


class PermissionChange(Form):
    """A new description of a permission."""

    description: Annotated[Description, Field(examples=["See the reports."])]


class RoleResponse(Answer):
    """A named set of permissions."""

    name: str = Field(examples=["reporter"])
    description: str = Field(examples=["Reads the reports."])
    permissions: list[str] = Field(examples=[["reports:read"]])
    built_in: bool = Field(description="Part of the service; cannot be deleted.", examples=[False])


class PermissionResponse(Answer):
    """A permission that roles can allow."""

    name: str = Field(examples=["reports:read"])
    description: str = Field(examples=["See the reports."])
    built_in: bool = Field(description="Required by the service itself; cannot be deleted.", examples=[False])
