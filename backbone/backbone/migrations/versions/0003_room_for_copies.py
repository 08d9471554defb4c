"""Room on a page for a second copy of each subject, so that an update of a whole page's subjects leaves the index."""

from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # A batch makes a page full of subjects, and the next one updates them all: with 30 % free half of the new copies
    # went to another page, each with a new entry in the index.
    op.execute("ALTER TABLE subject SET (fillfactor = 45)")


def downgrade() -> None:
    op.execute("ALTER TABLE subject SET (fillfactor = 70)")
