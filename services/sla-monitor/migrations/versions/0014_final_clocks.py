"""That a clock has ended for good is no matter of the word for it: people and other services use the same words."""

from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("ALTER TABLE clock ADD COLUMN is_final boolean NOT NULL DEFAULT false")
    op.execute("UPDATE clock SET is_final = true WHERE reason IN ('merged', 'erased', 'covered')")


def downgrade() -> None:
    op.execute("ALTER TABLE clock DROP COLUMN is_final")
