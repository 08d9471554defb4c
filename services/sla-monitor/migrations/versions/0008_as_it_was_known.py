"""Since when it is known that somebody had a lead; and when leads had arrived, and clocks begun, before a merge."""

from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # The default serves instances of the version before, which go on for a while beside those of this one.
    op.execute("ALTER TABLE assignment ADD COLUMN recorded_at timestamptz NOT NULL DEFAULT now()")
    op.execute("UPDATE assignment SET recorded_at = assigned_at")
    op.execute("ALTER TABLE lead_before ADD COLUMN arrived_at timestamptz")
    op.execute("ALTER TABLE clock_change ADD COLUMN started_before timestamptz")


def downgrade() -> None:
    op.execute("ALTER TABLE clock_change DROP COLUMN started_before")
    op.execute("ALTER TABLE lead_before DROP COLUMN arrived_at")
    op.execute("ALTER TABLE assignment DROP COLUMN recorded_at")
