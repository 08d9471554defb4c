"""What is written for each lead, in fewer rows and indexes: a lead's clocks of a cycle are one row."""

from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

STATEMENTS = """
ALTER TABLE clock RENAME TO clock_each;

ALTER TABLE clock_each RENAME CONSTRAINT clock_pkey TO clock_each_pkey;

CREATE TABLE clock (
    lead_id uuid NOT NULL,
    cycle int NOT NULL,
    waits boolean NOT NULL,
    missed boolean NOT NULL,
    said bytea[] NOT NULL,
    PRIMARY KEY (lead_id, cycle)
) WITH (fillfactor = 70);

INSERT INTO clock SELECT lead_id, cycle, bool_or(waits), bool_or(missed), array_agg(value)
FROM clock_each GROUP BY lead_id, cycle;

DROP TABLE clock_each;

ALTER TABLE entry DROP CONSTRAINT entry_pkey;

DROP INDEX entry_lead;

ALTER TABLE entry ADD PRIMARY KEY (lead_id, seq);

DROP INDEX change_age;

DELETE FROM change WHERE kind = 'clock'
"""


def upgrade() -> None:
    for statement in STATEMENTS.split(";"):
        op.execute(statement)


def downgrade() -> None:
    raise NotImplementedError("clocks of a cycle stay in one row")
