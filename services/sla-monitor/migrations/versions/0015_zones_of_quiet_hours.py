"""Clocks are by a version of the zone that their quiet hours are in, a rep's or the company's, beside that of hours."""

from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None

STATEMENTS = """
ALTER TABLE setting ADD COLUMN zone_version bigint NOT NULL DEFAULT 1,
                    ADD COLUMN zone_since timestamptz NOT NULL DEFAULT now(),
                    ADD COLUMN recompute boolean NOT NULL DEFAULT false;

UPDATE clock c SET rep_version = coalesce((SELECT version FROM rep r WHERE r.rep_id = c.rep_id), 1)
FROM policy p
WHERE c.policy = p.name || '@' || p.version AND p.document ? 'quiet_hours'
  AND coalesce(p.document -> 'quiet_hours' ->> 'zone', '') = '' AND c.next_at IS NOT NULL AND c.rep_version = 0;

DROP INDEX clock_of_rep;

CREATE INDEX clock_of_rep ON clock (rep_id, rep_version) WHERE rep_version > 0 AND next_at IS NOT NULL
"""


def upgrade() -> None:
    for statement in STATEMENTS.split(";"):
        op.execute(statement)


def downgrade() -> None:
    op.execute("DROP INDEX clock_of_rep")
    op.execute("CREATE INDEX clock_of_rep ON clock (rep_id) WHERE hours = 'rep' AND next_at IS NOT NULL")
    op.execute("UPDATE clock SET rep_version = 0 WHERE hours <> 'rep'")
    op.execute("ALTER TABLE setting DROP COLUMN zone_version, DROP COLUMN zone_since, DROP COLUMN recompute")
