"""Since when it is known that a lead lives; and at which position of the stream an alert was taken back."""

from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("ALTER TABLE lead ADD COLUMN live_known_at timestamptz")
    op.execute("UPDATE lead SET live_known_at = known_at WHERE live")
    op.execute("ALTER TABLE alert ADD COLUMN changed_seq bigint")
    op.execute("CREATE UNIQUE INDEX alert_changed_seq ON alert (changed_seq) WHERE changed_seq IS NOT NULL")


def downgrade() -> None:
    op.execute("ALTER TABLE alert DROP COLUMN changed_seq")
    op.execute("ALTER TABLE lead DROP COLUMN live_known_at")
