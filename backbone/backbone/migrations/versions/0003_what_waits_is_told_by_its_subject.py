"""A subject's row says whether something of it is set aside: one look less in every batch."""

from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("ALTER TABLE subject ADD COLUMN waits boolean NOT NULL DEFAULT false")
    op.execute("UPDATE subject SET waits = true WHERE subject_id IN (SELECT subject_id FROM parked)")


def downgrade() -> None:
    op.execute("ALTER TABLE subject DROP COLUMN waits")
