"""Definitions with their signatures, leads as qualification sees them, what they did, and why they moved."""

from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

STATEMENTS = """
CREATE TABLE definition (
    name text NOT NULL,
    version int NOT NULL,
    text text NOT NULL,
    document jsonb NOT NULL,
    state text NOT NULL DEFAULT 'draft' CHECK (state IN ('draft', 'active', 'retired')),
    active_from timestamptz,
    made_at timestamptz NOT NULL DEFAULT now(),
    made_by text NOT NULL,
    PRIMARY KEY (name, version)
);

CREATE UNIQUE INDEX definition_active ON definition (name) WHERE state = 'active';

CREATE TABLE signature (
    name text NOT NULL,
    version int NOT NULL,
    party text NOT NULL CHECK (party IN ('marketing', 'sales')),
    signer text NOT NULL,
    decision text NOT NULL CHECK (decision IN ('sign', 'refuse')),
    comment text,
    at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (name, version, party)
);

CREATE TABLE lead (
    lead_id uuid PRIMARY KEY,
    fields bytea,
    live boolean NOT NULL DEFAULT false,
    occurred_at timestamptz,
    recorded_at timestamptz,
    arrived_at timestamptz,
    stage text NOT NULL DEFAULT 'new',
    cycle int NOT NULL DEFAULT 1,
    reason text NOT NULL DEFAULT '',
    definition text NOT NULL DEFAULT '',
    decided_by_person boolean NOT NULL DEFAULT false,
    recycled_until timestamptz,
    bant jsonb NOT NULL DEFAULT '{}',
    score bytea,
    review_since timestamptz,
    rep_id text,
    assignment_cycle int NOT NULL DEFAULT 0,
    sdr_id text,
    previous_rep text,
    hot_at timestamptz,
    closed boolean NOT NULL DEFAULT false
);

CREATE INDEX lead_review ON lead (review_since) WHERE review_since IS NOT NULL;
CREATE INDEX lead_mql ON lead (lead_id) WHERE stage = 'mql';

CREATE TABLE engagement (
    engagement_id uuid PRIMARY KEY,
    lead_id uuid NOT NULL,
    kind text NOT NULL,
    at timestamptz NOT NULL,
    properties jsonb NOT NULL
);

CREATE INDEX engagement_lead ON engagement (lead_id, at DESC);

CREATE TABLE history (
    history_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    lead_id uuid NOT NULL,
    at timestamptz NOT NULL,
    from_stage text NOT NULL,
    to_stage text NOT NULL,
    definition text NOT NULL,
    reason text NOT NULL
);

CREATE INDEX history_lead ON history (lead_id, history_id);

CREATE TABLE reason (
    code text PRIMARY KEY,
    label text NOT NULL,
    fits text[] NOT NULL,
    fault text NOT NULL,
    until text
);

CREATE TABLE feedback (
    feedback_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    lead_id uuid NOT NULL,
    rep_id text,
    rating text NOT NULL,
    reason text,
    note text,
    at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE rescoring (
    reason text PRIMARY KEY,
    after uuid NOT NULL
)
"""


def upgrade() -> None:
    for statement in STATEMENTS.split(";"):
        op.execute(statement)


def downgrade() -> None:
    for table in ("rescoring", "feedback", "reason", "history", "engagement", "lead", "signature", "definition"):
        op.execute(f"DROP TABLE {table}")
