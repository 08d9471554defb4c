"""Endpoints that said they are gone, and who has an attempt of a message under way."""

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("ALTER TABLE recipient ADD COLUMN webhook_off_at timestamptz")
    op.execute("CREATE INDEX message_pending ON message (next_at, message_id) WHERE state = 'pending'")


def downgrade() -> None:
    op.execute("DROP INDEX message_pending")
    op.execute("ALTER TABLE recipient DROP COLUMN webhook_off_at")
