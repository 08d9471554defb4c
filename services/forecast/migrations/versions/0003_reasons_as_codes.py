"""Reasons are codes: those in force, and beside a move the words that were typed for it."""

from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

STATEMENTS = """
CREATE TABLE reason (code text PRIMARY KEY);

ALTER TABLE move ADD COLUMN words text NOT NULL DEFAULT '';

UPDATE move SET reason = 'other', words = reason WHERE reason <> '' AND reason !~ '^[a-z][a-z0-9_]{0,63}$';

UPDATE opportunity SET reason = 'other' WHERE reason <> '' AND reason !~ '^[a-z][a-z0-9_]{0,63}$'
"""


def upgrade() -> None:
    for statement in STATEMENTS.split(";\n"):
        op.execute(statement)


def downgrade() -> None:
    op.execute("UPDATE move SET reason = words WHERE words <> ''")
    op.execute("ALTER TABLE move DROP COLUMN words")
    op.execute("DROP TABLE reason")
