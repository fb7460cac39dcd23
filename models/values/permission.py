"""Permissions, named ``resource:action``; roles are sets of them, kept as data in PostgreSQL."""

from __future__ import annotations

from enum import StrEnum


class Permission(StrEnum):
    """What the service itself asks for; docs/roles.md tells what each allows. Other services add theirs as data."""

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
