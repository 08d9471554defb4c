"""Several meetings stand at once: who hosts which, so that calling one off leaves the others' hosts known."""

from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("ALTER TABLE lead ADD COLUMN meetings jsonb NOT NULL DEFAULT '[]'")
    op.execute("UPDATE lead SET meetings = jsonb_build_array(jsonb_build_array('', host_email)) WHERE host_email <> ''")


def downgrade() -> None:
    op.execute("ALTER TABLE lead DROP COLUMN meetings")
