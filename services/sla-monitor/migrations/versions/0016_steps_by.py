"""Of a missed clock the deadline stays with the version of a calendar that made it, and what is left with another."""

from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("ALTER TABLE clock ADD COLUMN steps_by text NOT NULL DEFAULT ''")


def downgrade() -> None:
    op.execute("UPDATE clock SET calendar = steps_by WHERE steps_by <> ''")
    op.execute("ALTER TABLE clock DROP COLUMN steps_by")
