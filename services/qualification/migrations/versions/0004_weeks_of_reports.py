"""In which zone reports count weeks, and with which day these begin."""

from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute(
        """
        CREATE TABLE setting (
            single boolean PRIMARY KEY DEFAULT true CHECK (single),
            zone text NOT NULL DEFAULT 'UTC',
            week_starts text NOT NULL DEFAULT 'mon' CHECK (week_starts IN ('mon', 'sun'))
        )
        """
    )
    op.execute("INSERT INTO setting DEFAULT VALUES")


def downgrade() -> None:
    op.execute("DROP TABLE setting")
