"""When assignments were first touched: what a policy with a cap of untouched leads would have done goes by it."""

from alembic import op

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None


def upgrade() -> None:
    for table in ("assignment", "ended_assignment"):
        op.execute(f"ALTER TABLE {table} ADD COLUMN touched_at timestamptz")


def downgrade() -> None:
    for table in ("ended_assignment", "assignment"):
        op.execute(f"ALTER TABLE {table} DROP COLUMN touched_at")
