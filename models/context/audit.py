"""What the audit log tells: which events there are, who acts, and what is written down of an act."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any
from uuid import UUID

from models.context.client import ClientInfo
from models.context.masking import masked_network


class Event(StrEnum):
    """What happened; ``what it happened to``, a dot, ``what``."""

    # Coming in.
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

    # The own account.
    PASSWORD_CHANGED = "password.changed"  # noqa: S105
    EMAIL_CHANGE_STARTED = "email.change_started"
    EMAIL_CHANGED = "email.changed"
    LOGIN_CHANGED = "login.changed"
    LOCALE_CHANGED = "locale.changed"
    ACCOUNT_EXPORTED = "account.exported"
    DELETION_STARTED = "account.deletion_started"
    ACCOUNT_DELETED = "account.deleted"

    # What administrators do.
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

    # What the operator does at the command line.
    ADMINISTRATOR_CREATED = "administrator.created"
    USERS_IMPORTED = "users.imported"
    USERS_EXPORTED = "users.exported"
    KEYS_ROTATED = "keys.rotated"


@dataclass(frozen=True, slots=True)
class Actor:
    """Who acts, as far as that is known, and from where."""

    user_id: UUID | None
    source: str
    """A network, masked; or the command line."""
    permissions: frozenset[str] = frozenset()
    """What the actor may do; nobody gives others what he has not."""
    roles: frozenset[str] = frozenset()


COMMAND_LINE = Actor(None, "command line")
"""The operator: whoever may read the secrets of the service may do everything."""

SCHEDULE = Actor(None, "schedule")
"""The service itself, when something is due."""


def anonymous_actor(client: ClientInfo, user_id: UUID | None = None) -> Actor:
    """Whoever sent a request without a token; who it is may be known by what he has shown."""
    return Actor(user_id, masked_network(client.networks))


@dataclass(frozen=True, slots=True)
class Record:
    """A line of the audit log."""

    event: Event
    actor: Actor
    subject: UUID | None = None
    """Whose account it is about."""
    details: Mapping[str, Any] = field(default_factory=dict)
    """What else there is to say; names and addresses masked, never a secret."""
