"""Permissions, named ``resource:action``; a role is a set of permissions, stored as data in PostgreSQL."""

from __future__ import annotations

from enum import StrEnum


class Permission(StrEnum):
    """Permissions that the service itself requires; docs/roles.md says what each allows. Others are added as data."""

    ACCOUNT_READ = "account:read"
    ACCOUNT_WRITE = "account:write"
    USER_READ = "user:read"
    USER_WRITE = "user:write"
    ROLE_READ = "role:read"
    ROLE_WRITE = "role:write"
    SESSION_WRITE = "session:write"
    MAIL_READ = "mail:read"
    MAIL_WRITE = "mail:write"
    AUDIT_READ = "audit:read"


USER_ROLE = "user"
ADMIN_ROLE = "admin"
