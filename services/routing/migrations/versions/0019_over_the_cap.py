"""What went over its rep's cap says so: each decision, and the assignment that it made."""

from alembic import op

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None

BY_THE_LOG = """
UPDATE decision d SET over_cap = true
WHERE d.rep_id IS NOT NULL AND d.strategy = '' AND (
    SELECT open FROM rep_count c WHERE c.rep_id = d.rep_id AND c.sequence = d.sequence ORDER BY ordinal DESC LIMIT 1
) > (
    SELECT cap FROM rep_version v WHERE v.rep_id = d.rep_id AND v.sequence < d.sequence ORDER BY v.sequence DESC LIMIT 1
)
"""
"""Of what was given by name, the only decisions that may; of many in one transaction, by how its rep was left."""


def upgrade() -> None:
    for table in ("decision", "assignment"):
        op.execute(f"ALTER TABLE {table} ADD COLUMN over_cap boolean NOT NULL DEFAULT false")
    op.execute(BY_THE_LOG)
    op.execute(
        "UPDATE assignment a SET over_cap = true FROM decision d WHERE d.decision_id = a.decision_id AND d.over_cap"
    )


def downgrade() -> None:
    for table in ("assignment", "decision"):
        op.execute(f"ALTER TABLE {table} DROP COLUMN over_cap")
