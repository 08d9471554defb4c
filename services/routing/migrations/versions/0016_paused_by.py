"""By which alerts reps were paused: who kept the promise after all comes back."""

from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("ALTER TABLE rep ADD COLUMN paused_by uuid[] NOT NULL DEFAULT '{}'")


def downgrade() -> None:
    op.execute("ALTER TABLE rep DROP COLUMN paused_by")
