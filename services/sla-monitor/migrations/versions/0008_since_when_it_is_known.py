"""Since when it is known that a lead lives: before that it was history."""

from alembic import op

revision = "0008"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("ALTER TABLE lead ADD COLUMN live_known_at timestamptz")
    op.execute("UPDATE lead SET live_known_at = known_at WHERE live")


def downgrade() -> None:
    op.execute("ALTER TABLE lead DROP COLUMN live_known_at")
