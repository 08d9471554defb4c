"""Leads that somebody has or had are given on when they are given back, also those that came as history."""

from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("ALTER TABLE lead ADD COLUMN in_work boolean NOT NULL DEFAULT false")
    op.execute("UPDATE lead SET in_work = true WHERE lead_id IN (SELECT lead_id FROM assignment)")


def downgrade() -> None:
    op.execute("ALTER TABLE lead DROP COLUMN in_work")
