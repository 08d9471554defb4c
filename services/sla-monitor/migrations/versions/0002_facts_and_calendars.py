"""Clocks that can be computed anew: by a rep's changed hours, and by facts that come late or out of order."""

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

STATEMENTS = """
ALTER TABLE lead
    ADD COLUMN fields bytea,
    ADD COLUMN arrival boolean NOT NULL DEFAULT false,
    ADD COLUMN known_at timestamptz;

UPDATE lead SET known_at = recorded_at, arrival = live;

ALTER TABLE assignment ADD COLUMN outcome text;
ALTER TABLE assignment DROP COLUMN routed;

ALTER TABLE clock
    ADD COLUMN hours text NOT NULL DEFAULT 'wall',
    ADD COLUMN rep_version bigint NOT NULL DEFAULT 0;

CREATE INDEX clock_of_rep ON clock (rep_id) WHERE hours = 'rep' AND state = 'running';

CREATE TABLE rep (
    rep_id text PRIMARY KEY,
    version bigint NOT NULL,
    team text NOT NULL,
    rep bytea NOT NULL,
    recompute boolean NOT NULL DEFAULT true
);

CREATE INDEX rep_recompute ON rep (rep_id) WHERE recompute;
CREATE INDEX subject_merged ON subject (merged_into) WHERE merged_into IS NOT NULL
"""


def upgrade() -> None:
    for statement in STATEMENTS.split(";"):
        op.execute(statement)


def downgrade() -> None:
    op.execute("DROP INDEX subject_merged")
    op.execute("DROP TABLE rep")
    op.execute("ALTER TABLE clock DROP COLUMN hours, DROP COLUMN rep_version")
    op.execute("ALTER TABLE assignment DROP COLUMN outcome, ADD COLUMN routed bytea")
    op.execute("ALTER TABLE lead DROP COLUMN fields, DROP COLUMN arrival, DROP COLUMN known_at")
