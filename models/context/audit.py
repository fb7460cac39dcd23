"""The audit log: its events, its actors, and its records."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any
from uuid import UUID

from models.context.client import ClientInfo
from models.context.masking import masked_network


class Event(StrEnum):
    """What happened, as ``object.action``."""

    # Registration, log-in, recovery, sessions.
    ACCOUNT_REGISTERED = "account.registered"
    PASSWORD_ACCEPTED = "password.accepted"  # noqa: S105 - of a log-in that still lacks its code
    PASSWORD_REFUSED = "password.refused"  # noqa: S105
    CODE_REFUSED = "code.refused"
    LOGIN_SUCCEEDED = "login.succeeded"
    LOGIN_BLOCKED = "login.blocked"  # password and code were right
    RECOVERY_STARTED = "recovery.started"
    PASSWORD_RECOVERED = "password.recovered"  # noqa: S105
    SESSION_ENDED = "session.ended"
    SESSIONS_ENDED = "sessions.ended"
    SESSION_STOLEN = "session.stolen"
    ACCESS_DENIED = "access.denied"
    LIMIT_REACHED = "limit.reached"
    FLOOR_RAISED = "floor.raised"

    # A user's own account.
    PASSWORD_CHANGED = "password.changed"  # noqa: S105
    EMAIL_CHANGE_STARTED = "email.change_started"
    EMAIL_CHANGED = "email.changed"
    LOGIN_CHANGED = "login.changed"
    LOCALE_CHANGED = "locale.changed"
    ACCOUNT_EXPORTED = "account.exported"
    DELETION_STARTED = "account.deletion_started"
    ACCOUNT_DELETED = "account.deleted"

    # Administration.
    USER_INVITED = "user.invited"
    USER_BLOCKED = "user.blocked"
    USER_UNBLOCKED = "user.unblocked"
    ROLE_GIVEN = "role.given"
    ROLE_TAKEN = "role.taken"
    ROLE_CREATED = "role.created"
    ROLE_CHANGED = "role.changed"
    ROLE_DELETED = "role.deleted"
    PERMISSION_CREATED = "permission.created"
    PERMISSION_CHANGED = "permission.changed"
    PERMISSION_DELETED = "permission.deleted"
    MAIL_SENT_AGAIN = "mail.sent_again"

    # The command line.
    ADMINISTRATOR_CREATED = "administrator.created"
    USERS_IMPORTED = "users.imported"
    USERS_EXPORTED = "users.exported"
    KEYS_ROTATED = "keys.rotated"


@dataclass(frozen=True, slots=True)
class Actor:
    """The user who acts, if known, and the origin of the request."""

    user_id: UUID | None
    source: str
    """A masked network, or the command line."""
    permissions: frozenset[str] = frozenset()
    """The actor's permissions: actors cannot grant what they do not have."""
    roles: frozenset[str] = frozenset()


COMMAND_LINE = Actor(None, "command line")
"""The operator, who can read the secrets of the service and may therefore do everything."""

SCHEDULE = Actor(None, "schedule")
"""The service itself, for its scheduled work."""


def anonymous_actor(client: ClientInfo, user_id: UUID | None = None) -> Actor:
    """Return the actor of a request without an access token; a password or a code may have shown the user."""
    return Actor(user_id, masked_network(client.networks))


@dataclass(frozen=True, slots=True)
class Record:
    """A line of the audit log."""

    event: Event
    actor: Actor
    subject: UUID | None = None
    """The account that the event is about."""
    details: Mapping[str, Any] = field(default_factory=dict)
    """Further facts: names and addresses are masked, and secrets never appear."""
