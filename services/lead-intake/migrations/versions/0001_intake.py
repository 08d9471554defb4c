"""Connections, leads, what identifies them, what came in, and what waits for a lead."""

from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

STATEMENTS = """
CREATE TABLE connection (
    connection_id text PRIMARY KEY,
    provider text NOT NULL,
    name text NOT NULL,
    settings jsonb NOT NULL,
    secrets bytea[] NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    deleted_at timestamptz
);

CREATE TABLE lead (
    lead_id uuid PRIMARY KEY,
    known jsonb NOT NULL,
    attributes jsonb NOT NULL,
    external_ids jsonb NOT NULL,
    first_touch jsonb NOT NULL,
    last_touch jsonb NOT NULL,
    verified text[] NOT NULL,
    sealed bytea,
    created_at timestamptz NOT NULL,
    recorded_at timestamptz NOT NULL,
    arrived_at timestamptz,
    updated_at timestamptz NOT NULL,
    merged_into uuid,
    merge_reason text,
    erased_at timestamptz,
    seq bigint NOT NULL
);

CREATE INDEX lead_seq ON lead (seq);
CREATE INDEX lead_merged_into ON lead (merged_into) WHERE merged_into IS NOT NULL;

CREATE TABLE identifier (
    kind text NOT NULL,
    digest bytea NOT NULL,
    lead_id uuid,
    emails jsonb NOT NULL DEFAULT '{}',
    erased_at timestamptz,
    PRIMARY KEY (kind, digest)
);

CREATE INDEX identifier_lead ON identifier (lead_id);

CREATE TABLE event (
    event_id uuid PRIMARY KEY,
    connection_id text NOT NULL,
    lead_id uuid,
    what text NOT NULL,
    outcome text NOT NULL,
    reason text,
    sealed bytea,
    headers jsonb NOT NULL,
    received_at timestamptz NOT NULL,
    dedupe text,
    body_hash bytea
);

CREATE UNIQUE INDEX event_dedupe ON event (connection_id, dedupe) WHERE dedupe IS NOT NULL;
CREATE INDEX event_lead ON event (lead_id);

CREATE TABLE fact (
    fact_id uuid PRIMARY KEY,
    what text NOT NULL,
    connection_id text NOT NULL,
    external_id text,
    lead_id uuid,
    waits_for bytea,
    occurred_at timestamptz NOT NULL,
    received_at timestamptz NOT NULL,
    live boolean NOT NULL,
    details jsonb NOT NULL,
    note bytea
);

CREATE UNIQUE INDEX fact_external ON fact (what, connection_id, external_id) WHERE external_id IS NOT NULL;
CREATE INDEX fact_waiting ON fact (waits_for) WHERE waits_for IS NOT NULL;
CREATE INDEX fact_lead ON fact (lead_id);

CREATE TABLE consent (
    consent_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    lead_id uuid NOT NULL,
    purpose text NOT NULL,
    basis text NOT NULL,
    granted boolean NOT NULL,
    at timestamptz NOT NULL,
    text_version text NOT NULL
);

CREATE INDEX consent_lead ON consent (lead_id);

CREATE TABLE erasure (
    erasure_id uuid PRIMARY KEY,
    lead_id uuid NOT NULL,
    asked_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE erasure_answer (
    erasure_id uuid NOT NULL,
    service text NOT NULL,
    answered_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (erasure_id, service)
);

CREATE TABLE lead_owner (
    lead_id uuid PRIMARY KEY,
    rep_id text NOT NULL,
    cycle int NOT NULL
)
"""


def upgrade() -> None:
    for statement in STATEMENTS.split(";"):
        op.execute(statement)


def downgrade() -> None:
    for table in (
        "lead_owner",
        "erasure_answer",
        "erasure",
        "consent",
        "fact",
        "event",
        "identifier",
        "lead",
        "connection",
    ):
        op.execute(f"DROP TABLE {table}")
