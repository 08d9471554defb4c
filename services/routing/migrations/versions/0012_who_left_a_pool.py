"""Rounds begin anew: who was of a pool no more had gone on to be owed of what it gave, and is owed nothing for it."""

from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("UPDATE rep SET turns = '{}'")


def downgrade() -> None:
    pass
