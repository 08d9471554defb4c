"""Promises that begin anew within an assignment have rounds; links of merged leads are known as of any instant."""

from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

STATEMENTS = """
ALTER TABLE clock ADD COLUMN round int NOT NULL DEFAULT 0;
ALTER TABLE clock DROP CONSTRAINT clock_pkey;
ALTER TABLE clock ADD PRIMARY KEY (lead_id, clock, cycle, round);
ALTER TABLE clock_change ADD COLUMN round int NOT NULL DEFAULT 0;

CREATE TABLE link (
    member_id uuid NOT NULL,
    survivor_id uuid NOT NULL,
    since timestamptz NOT NULL,
    until timestamptz,
    PRIMARY KEY (member_id, since)
);

CREATE INDEX link_survivor ON link (survivor_id);
DROP INDEX subject_merged;

INSERT INTO link (member_id, survivor_id, since)
SELECT subject_id, merged_into, '-infinity' FROM subject WHERE merged_into IS NOT NULL;

CREATE TABLE lead_before (
    lead_id uuid NOT NULL,
    until timestamptz NOT NULL,
    created_at timestamptz NOT NULL,
    source text NOT NULL,
    PRIMARY KEY (lead_id, until)
);

ALTER TABLE assignment ADD COLUMN without_outcome boolean NOT NULL DEFAULT false
"""


def upgrade() -> None:
    for statement in STATEMENTS.split(";"):
        op.execute(statement)


def downgrade() -> None:
    op.execute("ALTER TABLE assignment DROP COLUMN without_outcome")
    op.execute("DROP TABLE lead_before, link")
    op.execute("CREATE INDEX subject_merged ON subject (merged_into) WHERE merged_into IS NOT NULL")
    op.execute("DELETE FROM clock WHERE round > 0")
    op.execute("ALTER TABLE clock DROP CONSTRAINT clock_pkey")
    op.execute("ALTER TABLE clock DROP COLUMN round, ADD PRIMARY KEY (lead_id, clock, cycle)")
    op.execute("ALTER TABLE clock_change DROP COLUMN round")
