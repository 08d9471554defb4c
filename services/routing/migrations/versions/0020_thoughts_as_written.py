"""Who was considered is kept as it was written, as inputs are: nobody asks the database about it."""

from alembic import op

revision = "0020"
down_revision = "0019"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("ALTER TABLE decision ALTER COLUMN considered TYPE bytea USING convert_to(considered::text, 'UTF8')")


def downgrade() -> None:
    op.execute("ALTER TABLE decision ALTER COLUMN considered TYPE jsonb USING convert_from(considered, 'UTF8')::jsonb")
