"""The whole schema on one page; `alembic/versions` has its history."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Column,
    DateTime,
    Double,
    ForeignKey,
    Identity,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    SmallInteger,
    Table,
    Text,
    Uuid,
    func,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

metadata = MetaData(
    naming_convention={
        "ix": "%(table_name)s_%(column_0_N_name)s_index",
        "uq": "%(table_name)s_%(column_0_N_name)s_key",
        "fk": "%(table_name)s_%(column_0_N_name)s_fkey",
        "pk": "%(table_name)s_pkey",
    }
)

_Moment = DateTime(timezone=True)

users = Table(
    "users",
    metadata,
    Column("id", Uuid, primary_key=True),  # UUIDv7: new rows lie together in the index (RFC 9562 section 5.7)
    Column("email", Text, nullable=False, unique=True),  # canonical, see models/values/email.py
    Column("login", Text, nullable=False),  # as typed
    Column("login_canonical", Text, nullable=False, unique=True),
    Column("password_hash", Text, nullable=False),  # pbkdf2_sha256$iterations$salt$hash
    Column("locale", Text, nullable=False),
    Column("version", Integer, nullable=False, server_default="1"),  # raised by a change that ends earlier flows
    Column("blocked_at", _Moment),
    Column("created_at", _Moment, nullable=False, server_default=func.now()),
)
# Administrators search by the beginning of a login or an address.
for _column in (users.c.email, users.c.login_canonical):
    Index(f"users_{_column.name}_prefix_index", _column, postgresql_ops={_column.name: "text_pattern_ops"})
Index("users_blocked_index", users.c.id, postgresql_where=users.c.blocked_at.is_not(None))

roles = Table(
    "roles",
    metadata,
    Column("name", Text, primary_key=True),
    Column("description", Text, nullable=False),
)

permissions = Table(
    "permissions",
    metadata,
    Column("name", Text, primary_key=True),  # resource:action
    Column("description", Text, nullable=False),
)

role_permissions = Table(
    "role_permissions",
    metadata,
    Column("role", ForeignKey("roles.name", onupdate="CASCADE", ondelete="CASCADE"), primary_key=True),
    Column("permission", ForeignKey("permissions.name", onupdate="CASCADE", ondelete="CASCADE"), primary_key=True),
)

user_roles = Table(
    "user_roles",
    metadata,
    Column("user_id", ForeignKey("users.id", ondelete="CASCADE"), primary_key=True),
    Column("role", ForeignKey("roles.name", onupdate="CASCADE", ondelete="CASCADE"), primary_key=True),
    Index(None, "role"),
)

used_flow = Table(
    "used_flow",
    metadata,
    # The last word on single use: neither a failover of Valkey nor a repeated request gives a step a second effect.
    Column("flow_id", LargeBinary, primary_key=True),
    Column("step", Text, primary_key=True),
    Column("used_at", _Moment, nullable=False, server_default=func.now(), index=True),
)

guess_budgets = Table(
    "guess_budgets",
    metadata,
    # The ladder: the wrong guesses left for a length of code. A budget without a row is full.
    Column("subject", LargeBinary, primary_key=True),  # a user's id; before there is a user, an HMAC of the address
    Column("purpose", Text, primary_key=True),
    Column("device", Text, primary_key=True),  # which ladder of known devices, or nothing
    Column("digits", SmallInteger, primary_key=True),
    Column("guesses", Double, nullable=False),  # as of refilled_at; they come back continuously
    Column("refilled_at", _Moment, nullable=False, server_default=func.now(), index=True),
)

guess_reservations = Table(
    "guess_reservations",
    metadata,
    # What a mailed code has reserved of its budget until its flow ends.
    Column("flow_id", LargeBinary, primary_key=True),
    Column("subject", LargeBinary, nullable=False),
    Column("purpose", Text, nullable=False),
    Column("device", Text, nullable=False),
    Column("digits", SmallInteger, nullable=False),
    Column("guesses", SmallInteger, nullable=False),
    Column("settle_at", _Moment, nullable=False, index=True),  # when no request can act on the flow any more
)

sessions = Table(
    "sessions",
    metadata,
    # One row a log-in, deleted when the session ends. Refresh tokens are stored as digests only.
    Column("id", Uuid, primary_key=True),  # UUIDv7, the `sid` of access tokens
    Column("user_id", ForeignKey("users.id", ondelete="CASCADE"), nullable=False, index=True),
    Column("token", LargeBinary, nullable=False),  # the current one
    Column("replaced", ARRAY(LargeBinary), nullable=False, server_default="{}"),  # the last few before, newest first
    Column("replaced_at", ARRAY(_Moment), nullable=False, server_default="{}"),  # and when each was replaced
    Column("rotated_at", _Moment, nullable=False, server_default=func.now()),
    Column("ends_at", _Moment, nullable=False, index=True),  # by idleness or by age, whichever comes first
    Column("user_agent", Text, nullable=False),
    Column("created_at", _Moment, nullable=False, server_default=func.now()),  # when password and code were given
)

signing_keys = Table(
    "signing_keys",
    metadata,
    Column("kid", Text, primary_key=True),
    Column("algorithm", Text, nullable=False),
    Column("public_jwk", JSONB, nullable=False),
    Column("private_key", LargeBinary, nullable=False),  # encrypted, see backend/tokens/signing_keys.py
    Column("signs_from", _Moment, nullable=False),  # published before, so that every verifier knows it by then
    Column("created_at", _Moment, nullable=False, server_default=func.now()),
)

outbox = Table(
    "outbox",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("kind", Text, nullable=False),
    Column("payload", JSONB, nullable=False),  # ids; never a code, and an address only encrypted
    Column("attempts", Integer, nullable=False, server_default="0"),
    Column("due_at", _Moment, nullable=False, server_default=func.now()),  # also the end of a worker's lease
    Column("give_up_at", _Moment, nullable=False),
    Column("created_at", _Moment, nullable=False, server_default=func.now()),
    Column("failed_at", _Moment),  # a dead letter
    Column("last_error", Text),
)
Index("outbox_waiting_index", outbox.c.due_at, postgresql_where=outbox.c.failed_at.is_(None))

audit_log = Table(
    "audit_log",
    metadata,
    # What happened to accounts, kept when they are deleted: ids, with other personal data masked.
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("at", _Moment, nullable=False, server_default=func.now(), index=True),
    Column("event", Text, nullable=False),  # see models/context/audit.py
    Column("actor", Uuid),  # the signed-in user who did it
    Column("subject", Uuid),  # the user whose account it is about
    Column("source", Text, nullable=False),  # a network, or the command line
    Column("details", JSONB, nullable=False, server_default="{}"),
    Column("times", Integer, nullable=False, server_default="1"),  # how often the same refusal happened within a moment
)
for _column in (audit_log.c.event, audit_log.c.actor, audit_log.c.subject):
    Index(f"audit_log_{_column.name}_id_index", _column, audit_log.c.id)
