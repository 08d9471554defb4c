"""What each lead reached and when that was known, deals by when they qualified, rates as they were known."""

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

STATEMENTS = """
CREATE TABLE milestone (
    lead_id uuid NOT NULL,
    stage text NOT NULL,
    at timestamptz NOT NULL,
    recorded_at timestamptz NOT NULL,
    definition text NOT NULL,
    PRIMARY KEY (lead_id, stage, at)
);

INSERT INTO milestone SELECT lead_id, 'mql', mql_at, mql_at, definition FROM lead WHERE mql_at IS NOT NULL;
INSERT INTO milestone SELECT lead_id, 'srl', srl_at, srl_at, definition FROM lead WHERE srl_at IS NOT NULL;
INSERT INTO milestone SELECT lead_id, 'sql', sql_at, sql_at, definition FROM lead WHERE sql_at IS NOT NULL;

ALTER TABLE lead
    DROP COLUMN mql_at,
    DROP COLUMN srl_at,
    DROP COLUMN sql_at,
    DROP COLUMN definition,
    DROP COLUMN closed,
    ADD COLUMN routed_at timestamptz;

ALTER TABLE opportunity ADD COLUMN qualified_at timestamptz;
UPDATE opportunity SET qualified_at = coalesce(ended_at, opened_at) WHERE stage IN ('qualified', 'won');
CREATE INDEX opportunity_opened ON opportunity (opened_at);
CREATE INDEX opportunity_reference ON opportunity (lead_reference) WHERE lead_id IS NULL;
CREATE INDEX IF NOT EXISTS subject_merged_into ON subject (merged_into) WHERE merged_into IS NOT NULL;

ALTER TABLE lead_reference ALTER COLUMN lead_id DROP NOT NULL;

ALTER TABLE rate ADD COLUMN recorded_at timestamptz NOT NULL DEFAULT now();
ALTER TABLE rate DROP CONSTRAINT rate_pkey;
ALTER TABLE rate ADD PRIMARY KEY (currency, starts, recorded_at);

CREATE FUNCTION in_base(amount numeric, given text, day date, base text, zone text, known_by timestamptz)
RETURNS numeric LANGUAGE sql STABLE AS $$
    SELECT CASE WHEN given = base THEN amount ELSE amount * (
        SELECT r.rate FROM rate r WHERE r.currency = given AND r.recorded_at <= known_by AND r.starts <= least(
            (known_by AT TIME ZONE zone)::date, (date_trunc('month', day) + interval '1 month' - interval '1 day')::date
        ) ORDER BY r.starts DESC, r.recorded_at DESC LIMIT 1
    ) END
$$;

ALTER TABLE setting ADD COLUMN week_starts text NOT NULL DEFAULT 'mon';
INSERT INTO setting (zone, base_currency) VALUES ('UTC', 'USD') ON CONFLICT DO NOTHING;

CREATE TABLE progress (
    topic text PRIMARY KEY,
    recorded_at timestamptz NOT NULL
)
"""


def upgrade() -> None:
    for statement in STATEMENTS.split(";\n"):
        op.execute(statement)


def downgrade() -> None:
    op.execute("DROP TABLE progress")
    op.execute("DROP FUNCTION in_base")
    op.execute("ALTER TABLE setting DROP COLUMN week_starts")
    op.execute(
        "DELETE FROM rate a USING rate b WHERE (a.currency, a.starts) = (b.currency, b.starts)"
        " AND a.recorded_at < b.recorded_at"
    )
    op.execute("ALTER TABLE rate DROP CONSTRAINT rate_pkey")
    op.execute("ALTER TABLE rate DROP COLUMN recorded_at, ADD PRIMARY KEY (currency, starts)")
    op.execute("DELETE FROM lead_reference WHERE lead_id IS NULL")
    op.execute("ALTER TABLE lead_reference ALTER COLUMN lead_id SET NOT NULL")
    op.execute("DROP INDEX subject_merged_into, opportunity_reference, opportunity_opened")
    op.execute("ALTER TABLE opportunity DROP COLUMN qualified_at")
    op.execute(
        "ALTER TABLE lead DROP COLUMN routed_at, ADD COLUMN mql_at timestamptz, ADD COLUMN srl_at timestamptz,"
        " ADD COLUMN sql_at timestamptz, ADD COLUMN definition text NOT NULL DEFAULT '',"
        " ADD COLUMN closed boolean NOT NULL DEFAULT false"
    )
    op.execute("DROP TABLE milestone")
