"""Sessions; signing keys that are announced before they sign."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "20261125_0830"
down_revision = "20261122_2045"
branch_labels = None
depends_on = None

MOMENT = sa.DateTime(timezone=True)
NOW = sa.func.now()


def upgrade() -> None:
    op.create_table(
        "sessions",
        sa.Column("id", sa.Uuid, nullable=False),
        sa.Column("user_id", sa.Uuid, nullable=False),
        sa.Column("token", sa.LargeBinary, nullable=False),
        sa.Column("replaced", postgresql.ARRAY(sa.LargeBinary), nullable=False, server_default="{}"),
        sa.Column("replaced_at", postgresql.ARRAY(MOMENT), nullable=False, server_default="{}"),
        sa.Column("rotated_at", MOMENT, nullable=False, server_default=NOW),
        sa.Column("ends_at", MOMENT, nullable=False),
        sa.Column("user_agent", sa.Text, nullable=False),
        sa.Column("created_at", MOMENT, nullable=False, server_default=NOW),
        sa.PrimaryKeyConstraint("id", name="sessions_pkey"),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name="sessions_user_id_fkey", ondelete="CASCADE"),
    )
    op.create_index("sessions_user_id_index", "sessions", ["user_id"])
    op.create_index("sessions_ends_at_index", "sessions", ["ends_at"])
    # What these keys have signed belongs to no session, and is good for nothing any more; a new first key is made.
    op.execute("DELETE FROM signing_keys")
    op.add_column("signing_keys", sa.Column("public_jwk", postgresql.JSONB, nullable=False))
    op.add_column("signing_keys", sa.Column("signs_from", MOMENT, nullable=False))


def downgrade() -> None:
    op.drop_column("signing_keys", "signs_from")
    op.drop_column("signing_keys", "public_jwk")
    op.drop_table("sessions")
