"""Opportunities with their moves, the leaves that sums are made of, and what is known of leads for the funnel."""

from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

STATEMENTS = """
CREATE TABLE opportunity (
    opportunity_id uuid PRIMARY KEY,
    external_id text UNIQUE,
    lead_id uuid,
    lead_reference text,
    account text NOT NULL,
    name text NOT NULL,
    type text NOT NULL,
    origin text NOT NULL,
    sourced_by text NOT NULL,
    live boolean NOT NULL,
    opened_at timestamptz NOT NULL,
    recorded_at timestamptz NOT NULL,
    opening jsonb NOT NULL,
    stage text NOT NULL,
    category text NOT NULL,
    owner_id text NOT NULL,
    amount numeric,
    currency text NOT NULL,
    close_date date,
    ended_at timestamptz,
    reason text NOT NULL
);

CREATE INDEX opportunity_lead ON opportunity (lead_id);
CREATE INDEX opportunity_owner ON opportunity (owner_id);
CREATE INDEX opportunity_won ON opportunity (ended_at) WHERE stage = 'won';

CREATE TABLE move (
    move_id uuid PRIMARY KEY,
    opportunity_id uuid NOT NULL,
    external_id text,
    occurred_at timestamptz NOT NULL,
    recorded_at timestamptz NOT NULL,
    changes jsonb NOT NULL,
    reason text NOT NULL,
    said_by text NOT NULL
);

CREATE UNIQUE INDEX move_external ON move (opportunity_id, external_id) WHERE external_id IS NOT NULL;
CREATE INDEX move_opportunity ON move (opportunity_id);

CREATE TABLE counter (
    rep_id text NOT NULL,
    month text NOT NULL,
    category text NOT NULL,
    currency text NOT NULL,
    deals int NOT NULL,
    amount numeric NOT NULL,
    PRIMARY KEY (rep_id, month, category, currency)
);

CREATE TABLE lead (
    lead_id uuid PRIMARY KEY,
    live boolean NOT NULL DEFAULT false,
    created_at timestamptz,
    recorded_at timestamptz,
    source text NOT NULL DEFAULT '',
    account text NOT NULL DEFAULT '',
    definition text NOT NULL DEFAULT '',
    mql_at timestamptz,
    srl_at timestamptz,
    sql_at timestamptz,
    rep_id text,
    sdr_id text,
    closed boolean NOT NULL DEFAULT false
);

CREATE INDEX lead_created ON lead (created_at);

CREATE TABLE lead_reference (
    reference text PRIMARY KEY,
    lead_id uuid NOT NULL
);

CREATE TABLE node (
    node_id text PRIMARY KEY,
    parent_id text,
    rep_id text,
    name text NOT NULL
);

CREATE TABLE target (
    node_id text NOT NULL,
    period text NOT NULL,
    amount numeric NOT NULL,
    PRIMARY KEY (node_id, period)
);

CREATE TABLE rate (
    currency text NOT NULL,
    starts date NOT NULL,
    rate numeric NOT NULL,
    PRIMARY KEY (currency, starts)
);

CREATE TABLE setting (
    only_one boolean PRIMARY KEY DEFAULT true CHECK (only_one),
    zone text NOT NULL,
    base_currency text NOT NULL
)
"""


def upgrade() -> None:
    for statement in STATEMENTS.split(";"):
        op.execute(statement)


def downgrade() -> None:
    for table in (
        "setting",
        "rate",
        "target",
        "node",
        "lead_reference",
        "lead",
        "counter",
        "move",
        "opportunity",
    ):
        op.execute(f"DROP TABLE {table}")
