"""A lead is merged into one other at a time: a link ends where the next one begins."""

from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute(
        "UPDATE link k SET until = n.since FROM ("
        " SELECT member_id, since AS before, lead(since) OVER (PARTITION BY member_id ORDER BY since) AS since"
        " FROM link"
        ") n WHERE k.member_id = n.member_id AND k.since = n.before AND (k.until IS NULL OR k.until > n.since)"
    )


def downgrade() -> None:
    pass
