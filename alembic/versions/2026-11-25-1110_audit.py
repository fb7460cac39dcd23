"""The audit log; accounts are found by the beginning of their login or address, or when blocked."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "20261125_1110"
down_revision = "20261125_0830"
branch_labels = None
depends_on = None

SEARCHED = ("email", "login_canonical")


def upgrade() -> None:
    op.create_table(
        "audit_log",
        sa.Column("id", sa.BigInteger, sa.Identity(always=True), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False, server_default=sa.func.now()),
        sa.Column("event", sa.Text, nullable=False),
        sa.Column("actor", sa.Uuid),
        sa.Column("subject", sa.Uuid),
        sa.Column("source", sa.Text, nullable=False),
        sa.Column("details", postgresql.JSONB, nullable=False, server_default="{}"),
        sa.Column("times", sa.Integer, nullable=False, server_default="1"),
        sa.PrimaryKeyConstraint("id", name="audit_log_pkey"),
    )
    op.create_index("audit_log_at_index", "audit_log", ["at"])
    for column in ("event", "actor", "subject"):
        op.create_index(f"audit_log_{column}_id_index", "audit_log", [column, "id"])
    op.create_index("users_blocked_index", "users", ["id"], postgresql_where=sa.text("blocked_at IS NOT NULL"))
    for column in SEARCHED:
        op.create_index(f"users_{column}_prefix_index", "users", [column], postgresql_ops={column: "text_pattern_ops"})


def downgrade() -> None:
    for column in SEARCHED:
        op.drop_index(f"users_{column}_prefix_index", "users")
    op.drop_index("users_blocked_index", "users")
    op.drop_table("audit_log")
