"""What both sides of the agreement are measured by: marks beside touches and assignments, promises, moved deadlines."""

from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

STATEMENTS = """
CREATE TABLE mark (
    mark_id uuid PRIMARY KEY,
    lead_id uuid NOT NULL,
    kind text NOT NULL,
    at timestamptz NOT NULL,
    recorded_at timestamptz NOT NULL,
    rep_id text NOT NULL DEFAULT '',
    word text NOT NULL DEFAULT '',
    ref text NOT NULL DEFAULT '',
    until timestamptz,
    policy text,
    note text
);

CREATE INDEX mark_lead ON mark (lead_id, at);
CREATE INDEX mark_kind ON mark (kind, at);

ALTER TABLE touch ADD COLUMN next_at timestamptz;

ALTER TABLE assignment
    ADD COLUMN policy text,
    ADD COLUMN reason text NOT NULL DEFAULT '',
    ADD COLUMN touched boolean NOT NULL DEFAULT false,
    ADD COLUMN begins_at timestamptz,
    ADD COLUMN moved boolean NOT NULL DEFAULT false;

ALTER TABLE clock
    ADD COLUMN within_seconds double precision NOT NULL DEFAULT 0,
    ADD COLUMN booking_counts boolean NOT NULL DEFAULT false,
    ADD COLUMN ends_when text[] NOT NULL DEFAULT '{}',
    ADD COLUMN reason text NOT NULL DEFAULT '';

DROP INDEX clock_of_rep;
CREATE INDEX clock_of_rep ON clock (rep_id) WHERE hours = 'rep' AND next_at IS NOT NULL;
CREATE INDEX clock_of_calendar ON clock (hours) WHERE next_at IS NOT NULL AND hours NOT IN ('wall', 'rep');

CREATE TABLE rep_team (
    rep_id text NOT NULL,
    since timestamptz NOT NULL,
    team text NOT NULL,
    PRIMARY KEY (rep_id, since)
);

INSERT INTO rep_team SELECT rep_id, '-infinity', team FROM rep;

CREATE TABLE clock_change (
    lead_id uuid NOT NULL,
    clock text NOT NULL,
    cycle int NOT NULL,
    at timestamptz NOT NULL DEFAULT now(),
    calendar_before text NOT NULL,
    calendar text NOT NULL,
    due_before timestamptz NOT NULL,
    due_at timestamptz NOT NULL
);

CREATE INDEX clock_change_lead ON clock_change (lead_id, at);

ALTER TABLE calendar
    ADD COLUMN recompute boolean NOT NULL DEFAULT true,
    ADD COLUMN made_at timestamptz NOT NULL DEFAULT now();

CREATE INDEX calendar_recompute ON calendar (name) WHERE recompute;

CREATE TABLE promise (
    definition text NOT NULL,
    version int NOT NULL,
    at timestamptz NOT NULL,
    supply jsonb NOT NULL,
    required text[] NOT NULL,
    PRIMARY KEY (definition, version)
)
"""


def upgrade() -> None:
    for statement in STATEMENTS.split(";"):
        op.execute(statement)


def downgrade() -> None:
    op.execute("DROP TABLE promise, clock_change, mark, rep_team")
    op.execute("DROP INDEX calendar_recompute, clock_of_calendar, clock_of_rep")
    op.execute("ALTER TABLE calendar DROP COLUMN recompute, DROP COLUMN made_at")
    for column in ("within_seconds", "booking_counts", "ends_when", "reason"):
        op.execute(f"ALTER TABLE clock DROP COLUMN {column}")
    running = "WHERE hours = 'rep' AND state = 'running'"
    op.execute(f"CREATE INDEX clock_of_rep ON clock (rep_id) {running}")
    for column in ("policy", "reason", "touched", "begins_at", "moved"):
        op.execute(f"ALTER TABLE assignment DROP COLUMN {column}")
    op.execute("ALTER TABLE touch DROP COLUMN next_at")
