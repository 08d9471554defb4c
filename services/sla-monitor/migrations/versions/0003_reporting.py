"""In which zone reports count hours, and with which day their weeks begin."""

from alembic import op

revision = "0003"
down_revision = "0002"
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
