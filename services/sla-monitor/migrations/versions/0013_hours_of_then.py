"""Reps as they were: a report of an earlier instant runs moving windows on the hours of then."""

from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

STATEMENTS = """
ALTER TABLE rep_team RENAME TO rep_version;

ALTER TABLE rep_version ADD COLUMN rep bytea NOT NULL DEFAULT '';

UPDATE rep_version v SET rep = r.rep FROM rep r WHERE r.rep_id = v.rep_id;

ALTER TABLE rep_version ALTER COLUMN rep DROP DEFAULT
"""


def upgrade() -> None:
    for statement in STATEMENTS.split(";"):
        op.execute(statement)


def downgrade() -> None:
    op.execute("ALTER TABLE rep_version DROP COLUMN rep")
    op.execute("ALTER TABLE rep_version RENAME TO rep_team")
