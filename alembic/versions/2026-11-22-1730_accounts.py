"""Accounts, roles, used flows, signing keys and the outbox."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "20261122_1730"
down_revision = None
branch_labels = None
depends_on = None

MOMENT = sa.DateTime(timezone=True)
NOW = sa.func.now()

PERMISSIONS = {
    "account:read": "See the own account.",
    "account:write": "Change the own account.",
    "user:read": "See the accounts of others.",
    "user:write": "Create, block and delete accounts of others.",
    "role:read": "See roles and permissions.",
    "role:write": "Change roles, and who has them.",
    "session:write": "End the sessions of others.",
    "mail:read": "See the mail queue.",
    "mail:write": "Send a mail again.",
    "audit:read": "Read the audit log.",
}
ROLES = {"user": "Everybody who registered.", "admin": "May do everything."}


def upgrade() -> None:
    op.create_table(
        "users",
        sa.Column("id", sa.Uuid, nullable=False),
        sa.Column("email", sa.Text, nullable=False),
        sa.Column("login", sa.Text, nullable=False),
        sa.Column("login_canonical", sa.Text, nullable=False),
        sa.Column("password_hash", sa.Text, nullable=False),
        sa.Column("locale", sa.Text, nullable=False),
        sa.Column("version", sa.Integer, nullable=False, server_default="1"),
        sa.Column("blocked_at", MOMENT),
        sa.Column("created_at", MOMENT, nullable=False, server_default=NOW),
        sa.PrimaryKeyConstraint("id", name="users_pkey"),
        sa.UniqueConstraint("email", name="users_email_key"),
        sa.UniqueConstraint("login_canonical", name="users_login_canonical_key"),
    )
    roles = op.create_table(
        "roles",
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("description", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("name", name="roles_pkey"),
    )
    permissions = op.create_table(
        "permissions",
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("description", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("name", name="permissions_pkey"),
    )
    role_permissions = op.create_table(
        "role_permissions",
        sa.Column("role", sa.Text, nullable=False),
        sa.Column("permission", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("role", "permission", name="role_permissions_pkey"),
        sa.ForeignKeyConstraint(
            ["role"], ["roles.name"], name="role_permissions_role_fkey", onupdate="CASCADE", ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["permission"],
            ["permissions.name"],
            name="role_permissions_permission_fkey",
            onupdate="CASCADE",
            ondelete="CASCADE",
        ),
    )
    op.create_table(
        "user_roles",
        sa.Column("user_id", sa.Uuid, nullable=False),
        sa.Column("role", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("user_id", "role", name="user_roles_pkey"),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name="user_roles_user_id_fkey", ondelete="CASCADE"),
        sa.ForeignKeyConstraint(
            ["role"], ["roles.name"], name="user_roles_role_fkey", onupdate="CASCADE", ondelete="CASCADE"
        ),
    )
    op.create_index("user_roles_role_index", "user_roles", ["role"])
    op.create_table(
        "used_flow",
        sa.Column("flow_id", sa.LargeBinary, nullable=False),
        sa.Column("step", sa.Text, nullable=False),
        sa.Column("used_at", MOMENT, nullable=False, server_default=NOW),
        sa.PrimaryKeyConstraint("flow_id", "step", name="used_flow_pkey"),
    )
    op.create_index("used_flow_used_at_index", "used_flow", ["used_at"])
    op.create_table(
        "signing_keys",
        sa.Column("kid", sa.Text, nullable=False),
        sa.Column("algorithm", sa.Text, nullable=False),
        sa.Column("private_key", sa.LargeBinary, nullable=False),
        sa.Column("created_at", MOMENT, nullable=False, server_default=NOW),
        sa.PrimaryKeyConstraint("kid", name="signing_keys_pkey"),
    )
    op.create_table(
        "outbox",
        sa.Column("id", sa.BigInteger, sa.Identity(always=True), nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("payload", postgresql.JSONB, nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False, server_default="0"),
        sa.Column("due_at", MOMENT, nullable=False, server_default=NOW),
        sa.Column("give_up_at", MOMENT, nullable=False),
        sa.Column("created_at", MOMENT, nullable=False, server_default=NOW),
        sa.Column("failed_at", MOMENT),
        sa.Column("last_error", sa.Text),
        sa.PrimaryKeyConstraint("id", name="outbox_pkey"),
    )
    op.create_index("outbox_waiting_index", "outbox", ["due_at"], postgresql_where=sa.text("failed_at IS NULL"))

    op.bulk_insert(permissions, [{"name": name, "description": text} for name, text in PERMISSIONS.items()])
    op.bulk_insert(roles, [{"name": name, "description": text} for name, text in ROLES.items()])
    granted = [("admin", name) for name in PERMISSIONS] + [("user", "account:read"), ("user", "account:write")]
    op.bulk_insert(role_permissions, [{"role": role, "permission": name} for role, name in granted])


def downgrade() -> None:
    for table in (
        "outbox",
        "signing_keys",
        "used_flow",
        "user_roles",
        "role_permissions",
        "permissions",
        "roles",
        "users",
    ):
        op.drop_table(table)
