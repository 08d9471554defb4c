"""Policies and calendars, the facts about leads, the clocks that follow from them, and the alerts that they gave."""

from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

STATEMENTS = """
CREATE TABLE policy (
    name text NOT NULL,
    version int NOT NULL,
    text text NOT NULL,
    document jsonb NOT NULL,
    made_by text NOT NULL,
    made_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (name, version)
);

CREATE TABLE policy_signature (
    name text NOT NULL,
    version int NOT NULL,
    party text NOT NULL CHECK (party IN ('marketing', 'sales')),
    signer text NOT NULL,
    decision text NOT NULL CHECK (decision IN ('sign', 'refuse')),
    comment text,
    at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (name, version, party)
);

CREATE TABLE calendar (
    name text NOT NULL,
    version int NOT NULL,
    document jsonb NOT NULL,
    PRIMARY KEY (name, version)
);

CREATE TABLE lead (
    lead_id uuid PRIMARY KEY,
    live boolean NOT NULL DEFAULT false,
    created_at timestamptz,
    recorded_at timestamptz,
    arrived_at timestamptz,
    source text NOT NULL DEFAULT '',
    closed boolean NOT NULL DEFAULT false
);

CREATE INDEX lead_created ON lead (created_at);

CREATE TABLE assignment (
    lead_id uuid NOT NULL,
    cycle int NOT NULL,
    rep_id text NOT NULL,
    team text NOT NULL,
    assigned_at timestamptz NOT NULL,
    accepted_at timestamptz,
    released_at timestamptz,
    routed bytea,
    PRIMARY KEY (lead_id, cycle)
);

CREATE TABLE touch (
    touch_id uuid PRIMARY KEY,
    lead_id uuid NOT NULL,
    rep_id text NOT NULL,
    kind text NOT NULL,
    outcome text NOT NULL,
    automated boolean NOT NULL,
    at timestamptz NOT NULL,
    recorded_at timestamptz NOT NULL
);

CREATE INDEX touch_lead ON touch (lead_id, at);

CREATE TABLE clock (
    lead_id uuid NOT NULL,
    clock text NOT NULL,
    cycle int NOT NULL,
    kind text NOT NULL,
    source text NOT NULL,
    rep_id text NOT NULL,
    team text NOT NULL,
    manager_id text NOT NULL,
    started_at timestamptz NOT NULL,
    due_at timestamptz NOT NULL,
    policy text NOT NULL,
    calendar text NOT NULL,
    counts jsonb NOT NULL,
    needs jsonb NOT NULL,
    done jsonb NOT NULL DEFAULT '{}',
    spread_seconds double precision NOT NULL,
    steps jsonb NOT NULL,
    state text NOT NULL,
    met_at timestamptz,
    breached_at timestamptz,
    retracted boolean NOT NULL DEFAULT false,
    step int NOT NULL DEFAULT 0,
    next_at timestamptz,
    version bigint NOT NULL DEFAULT 1,
    PRIMARY KEY (lead_id, clock, cycle)
);

CREATE INDEX clock_next ON clock (next_at) WHERE next_at IS NOT NULL;

CREATE TABLE alert (
    alert_id uuid PRIMARY KEY,
    seq bigint NOT NULL,
    at timestamptz NOT NULL,
    lead_id uuid NOT NULL,
    clock text NOT NULL,
    kind text NOT NULL,
    cycle int NOT NULL,
    level text NOT NULL,
    step int NOT NULL,
    rep_id text NOT NULL,
    due_at timestamptz NOT NULL,
    late_by_seconds double precision NOT NULL,
    late boolean NOT NULL,
    goes_to text NOT NULL,
    retracted_at timestamptz
);

CREATE UNIQUE INDEX alert_seq ON alert (seq);
CREATE INDEX alert_lead ON alert (lead_id)
"""


def upgrade() -> None:
    for statement in STATEMENTS.split(";"):
        op.execute(statement)


def downgrade() -> None:
    for table in ("alert", "clock", "touch", "assignment", "lead", "calendar", "policy_signature", "policy"):
        op.execute(f"DROP TABLE {table}")
