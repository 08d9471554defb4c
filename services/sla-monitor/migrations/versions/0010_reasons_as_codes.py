"""Reasons are codes: of words that people typed, from when routing told them as they were, nothing stays."""

from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("UPDATE assignment SET reason = 'other' WHERE reason <> '' AND reason !~ '^[a-z][a-z0-9_]{0,63}$'")


def downgrade() -> None:
    pass
