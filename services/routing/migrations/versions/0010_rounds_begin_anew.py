"""Rounds begin anew: by the rules of before, who was long away was far behind the clock, and is owed nothing for it."""

from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("UPDATE rep SET turns = '{}'")


def downgrade() -> None:
    pass
