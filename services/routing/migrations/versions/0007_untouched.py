"""Whether an assignment starts clocks: one that starts none leaves room under caps of untouched leads."""

from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # Those that are there were counted as if each did.
    op.execute("ALTER TABLE assignment ADD COLUMN starts_clocks boolean NOT NULL DEFAULT true")


def downgrade() -> None:
    op.execute("ALTER TABLE assignment DROP COLUMN starts_clocks")
