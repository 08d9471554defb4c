"""Since when hosts of meetings are known; a version of a definition promises each time it comes into force."""

from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

STATEMENTS = """
ALTER TABLE mark ADD COLUMN host_known_at timestamptz;

ALTER TABLE rep ADD COLUMN email_since timestamptz NOT NULL DEFAULT '-infinity';

DELETE FROM promise p USING promise o WHERE o.definition = p.definition AND o.at = p.at AND o.version > p.version;

ALTER TABLE promise DROP CONSTRAINT promise_pkey;

ALTER TABLE promise ADD PRIMARY KEY (definition, at)
"""


def upgrade() -> None:
    for statement in STATEMENTS.split(";"):
        op.execute(statement)


def downgrade() -> None:
    op.execute("ALTER TABLE promise DROP CONSTRAINT promise_pkey")
    op.execute(
        "DELETE FROM promise p USING promise o"
        " WHERE o.definition = p.definition AND o.version = p.version AND o.at > p.at"
    )
    op.execute("ALTER TABLE promise ADD PRIMARY KEY (definition, version)")
    op.execute("ALTER TABLE rep DROP COLUMN email_since")
    op.execute("ALTER TABLE mark DROP COLUMN host_known_at")
