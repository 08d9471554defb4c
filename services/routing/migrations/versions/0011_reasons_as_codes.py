"""Reasons are codes: those in force, and beside an assignment that ended its reason, with the words typed for it."""

from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("CREATE TABLE reason (code text PRIMARY KEY)")
    op.execute(
        "ALTER TABLE ended_assignment ADD COLUMN reason text NOT NULL DEFAULT '',"
        " ADD COLUMN words text NOT NULL DEFAULT ''"
    )


def downgrade() -> None:
    op.execute("ALTER TABLE ended_assignment DROP COLUMN words, DROP COLUMN reason")
    op.execute("DROP TABLE reason")
