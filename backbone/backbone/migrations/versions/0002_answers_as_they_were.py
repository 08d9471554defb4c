"""Kept answers keep their words and their order: a repetition gets the very bytes of the first answer."""

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("ALTER TABLE idempotency ALTER COLUMN body TYPE json USING body::json")


def downgrade() -> None:
    op.execute("ALTER TABLE idempotency ALTER COLUMN body TYPE jsonb USING body::jsonb")
