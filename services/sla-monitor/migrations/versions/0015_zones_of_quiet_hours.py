"""Clocks are by a version of the zone that their quiet hours are in, a rep's or the company's, beside that of hours.

Reps are kept by their versions: since when each holds may be told after it was seen.
"""

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

CREATE INDEX clock_of_rep ON clock (rep_id, rep_version) WHERE rep_version > 0 AND next_at IS NOT NULL;

ALTER TABLE rep_version ADD COLUMN version bigint NOT NULL DEFAULT 0, ADD COLUMN is_told boolean NOT NULL DEFAULT true;

UPDATE rep_version v SET version = n.version
FROM (SELECT v.rep_id, v.since, r.version + 1 - row_number() OVER (PARTITION BY v.rep_id ORDER BY v.since DESC)
          AS version
      FROM rep_version v JOIN rep r USING (rep_id)) n
WHERE n.rep_id = v.rep_id AND n.since = v.since;

ALTER TABLE rep_version DROP CONSTRAINT rep_team_pkey;

ALTER TABLE rep_version ADD PRIMARY KEY (rep_id, version);

ALTER TABLE rep_version ALTER COLUMN version DROP DEFAULT, ALTER COLUMN is_told DROP DEFAULT
"""


def upgrade() -> None:
    for statement in STATEMENTS.split(";"):
        op.execute(statement)


def downgrade() -> None:
    op.execute(
        "DELETE FROM rep_version v USING rep_version o"
        " WHERE o.rep_id = v.rep_id AND o.since = v.since AND o.version > v.version"
    )
    op.execute("ALTER TABLE rep_version DROP CONSTRAINT rep_version_pkey")
    op.execute("ALTER TABLE rep_version DROP COLUMN version, DROP COLUMN is_told")
    op.execute("ALTER TABLE rep_version ADD CONSTRAINT rep_team_pkey PRIMARY KEY (rep_id, since)")
    op.execute("DROP INDEX clock_of_rep")
    op.execute("CREATE INDEX clock_of_rep ON clock (rep_id) WHERE hours = 'rep' AND next_at IS NOT NULL")
    op.execute("UPDATE clock SET rep_version = 0 WHERE hours <> 'rep'")
    op.execute("ALTER TABLE setting DROP COLUMN zone_version, DROP COLUMN zone_since, DROP COLUMN recompute")
