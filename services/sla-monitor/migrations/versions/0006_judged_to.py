"""Whoever judges the leads anew that a changed rep touched, remembers up to which lead it has."""

from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("ALTER TABLE rep ADD COLUMN judged_to uuid")


def downgrade() -> None:
    op.execute("ALTER TABLE rep DROP COLUMN judged_to")
