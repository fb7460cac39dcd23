"""The ladder: budgets of wrong guesses, and what mailed codes have reserved of them."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "20261122_2045"
down_revision = "20261122_1730"
branch_labels = None
depends_on = None

MOMENT = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.create_table(
        "guess_budgets",
        sa.Column("subject", sa.LargeBinary, nullable=False),
        sa.Column("purpose", sa.Text, nullable=False),
        sa.Column("device", sa.Text, nullable=False),
        sa.Column("digits", sa.SmallInteger, nullable=False),
        sa.Column("guesses", sa.Double, nullable=False),
        sa.Column("refilled_at", MOMENT, nullable=False, server_default=sa.func.now()),
        sa.PrimaryKeyConstraint("subject", "purpose", "device", "digits", name="guess_budgets_pkey"),
    )
    op.create_index("guess_budgets_refilled_at_index", "guess_budgets", ["refilled_at"])
    op.create_table(
        "guess_reservations",
        sa.Column("flow_id", sa.LargeBinary, nullable=False),
        sa.Column("subject", sa.LargeBinary, nullable=False),
        sa.Column("purpose", sa.Text, nullable=False),
        sa.Column("device", sa.Text, nullable=False),
        sa.Column("digits", sa.SmallInteger, nullable=False),
        sa.Column("guesses", sa.SmallInteger, nullable=False),
        sa.Column("settle_at", MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("flow_id", name="guess_reservations_pkey"),
    )
    op.create_index("guess_reservations_settle_at_index", "guess_reservations", ["settle_at"])


def downgrade() -> None:
    op.drop_table("guess_reservations")
    op.drop_table("guess_budgets")
