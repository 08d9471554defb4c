"""What a lead is itself while it goes on as one that was merged into it."""

from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("ALTER TABLE lead ADD COLUMN own_stage text")


def downgrade() -> None:
    op.execute("ALTER TABLE lead DROP COLUMN own_stage")
