"""Reps, policies, leads as routing sees them, assignments, those who wait, and every decision."""

from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

STATEMENTS = """
CREATE TABLE routing_group (
    group_id int PRIMARY KEY,
    sequence bigint NOT NULL,
    stamp uuid NOT NULL
);

INSERT INTO routing_group VALUES (1, 0, gen_random_uuid());

CREATE TABLE rep (
    rep_id text PRIMARY KEY,
    document jsonb NOT NULL,
    version bigint NOT NULL,
    cap int NOT NULL CHECK (cap >= 0),
    paused boolean NOT NULL DEFAULT false,
    open int NOT NULL DEFAULT 0 CHECK (open >= 0),
    untouched int NOT NULL DEFAULT 0 CHECK (untouched >= 0),
    over_cap boolean NOT NULL DEFAULT false,
    turns jsonb NOT NULL DEFAULT '{}',
    last_assigned_at timestamptz,
    CONSTRAINT cap_is_exact CHECK (open <= cap OR over_cap)
);

CREATE TABLE time_off (
    rep_id text NOT NULL REFERENCES rep,
    starts timestamptz NOT NULL,
    ends timestamptz NOT NULL,
    PRIMARY KEY (rep_id, starts),
    CHECK (starts < ends)
);

CREATE TABLE policy (
    version int PRIMARY KEY,
    text text NOT NULL,
    document jsonb NOT NULL,
    made_by text NOT NULL,
    made_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE account (
    domain text PRIMARY KEY,
    document jsonb NOT NULL
);

CREATE TABLE lead (
    lead_id uuid PRIMARY KEY,
    fields bytea,
    qualification bytea,
    live boolean NOT NULL DEFAULT false,
    stage text NOT NULL DEFAULT 'new',
    created_at timestamptz,
    recorded_at timestamptz,
    arrived_at timestamptz,
    cycle int NOT NULL DEFAULT 0,
    touched boolean NOT NULL DEFAULT false,
    previous_rep text,
    previous_at timestamptz,
    sdr_id text,
    declined text[] NOT NULL DEFAULT '{}',
    closed boolean NOT NULL DEFAULT false
);

CREATE TABLE assignment (
    lead_id uuid PRIMARY KEY,
    rep_id text NOT NULL REFERENCES rep,
    cycle int NOT NULL,
    pool text NOT NULL,
    decision_id uuid NOT NULL,
    assigned_at timestamptz NOT NULL,
    accepted_at timestamptz,
    touched boolean NOT NULL,
    status text,
    next_step text,
    next_at timestamptz
);

CREATE INDEX assignment_rep ON assignment (rep_id);

CREATE TABLE waiting (
    lead_id uuid PRIMARY KEY,
    pool text NOT NULL,
    rule text NOT NULL,
    reason_code text NOT NULL,
    rank int NOT NULL,
    created_at timestamptz NOT NULL,
    since timestamptz NOT NULL,
    decision_id uuid NOT NULL,
    retry_at timestamptz
);

CREATE INDEX waiting_order ON waiting (pool, rank, created_at, lead_id);
CREATE INDEX waiting_retry ON waiting (retry_at) WHERE retry_at IS NOT NULL;

CREATE TABLE decision (
    decision_id uuid PRIMARY KEY,
    lead_id uuid NOT NULL,
    at timestamptz NOT NULL,
    sequence bigint NOT NULL,
    cycle int NOT NULL,
    outcome text NOT NULL,
    reason_code text NOT NULL,
    rule text NOT NULL,
    pool text NOT NULL,
    strategy text NOT NULL,
    rep_id text,
    policy_version int NOT NULL,
    considered jsonb NOT NULL
);

CREATE INDEX decision_lead ON decision (lead_id, at)
"""


def upgrade() -> None:
    for statement in STATEMENTS.split(";"):
        op.execute(statement)


def downgrade() -> None:
    for table in (
        "decision",
        "waiting",
        "assignment",
        "lead",
        "account",
        "policy",
        "time_off",
        "rep",
        "routing_group",
    ):
        op.execute(f"DROP TABLE {table}")
