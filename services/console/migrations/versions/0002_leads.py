"""What pages show: leads as every topic tells of them, who is signed in, and the changes that streams replay."""

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

STATEMENTS = """
CREATE INDEX subject_merged ON subject (merged_into) WHERE merged_into IS NOT NULL;

CREATE FUNCTION lead_family(lead uuid) RETURNS SETOF uuid LANGUAGE sql STABLE AS $$
    WITH RECURSIVE one(id) AS (
        SELECT lead UNION SELECT s.subject_id FROM subject s JOIN one ON s.merged_into = one.id
    ) SELECT id FROM one
$$;

CREATE TABLE lead (
    lead_id uuid PRIMARY KEY,
    v bigint NOT NULL DEFAULT 0,
    live boolean NOT NULL DEFAULT false,
    arrived_at timestamptz,
    created_at timestamptz,
    fields bytea,
    fields_by text NOT NULL DEFAULT '',
    company text NOT NULL DEFAULT '',
    job_title text NOT NULL DEFAULT '',
    source text NOT NULL DEFAULT '',
    sealed bytea,
    key_lead_id uuid,
    to_open boolean NOT NULL DEFAULT false,
    opened jsonb,
    qualification bytea,
    qualified_by text NOT NULL DEFAULT '',
    stage text NOT NULL DEFAULT '',
    grade text NOT NULL DEFAULT '',
    why_passed text NOT NULL DEFAULT '',
    bant bytea,
    hot_at timestamptz
) WITH (fillfactor = 70);

CREATE INDEX lead_to_open ON lead (lead_id) WHERE to_open;

CREATE TABLE assignment (
    lead_id uuid NOT NULL,
    cycle int NOT NULL,
    rep_id text NOT NULL,
    assigned_at timestamptz NOT NULL,
    accepted_at timestamptz,
    status text NOT NULL DEFAULT '',
    next_step text NOT NULL DEFAULT '',
    next_at timestamptz,
    released_at timestamptz,
    outcome text NOT NULL DEFAULT '',
    PRIMARY KEY (lead_id, cycle)
) WITH (fillfactor = 70);

CREATE INDEX assignment_open ON assignment (rep_id) WHERE released_at IS NULL;

CREATE TABLE clock (
    lead_id uuid NOT NULL,
    clock text NOT NULL,
    cycle int NOT NULL,
    waits boolean NOT NULL,
    missed boolean NOT NULL,
    cancelled boolean NOT NULL,
    value bytea NOT NULL,
    PRIMARY KEY (lead_id, cycle, clock)
) WITH (fillfactor = 70);

CREATE TABLE touch (
    touch_id uuid PRIMARY KEY,
    lead_id uuid NOT NULL,
    rep_id text NOT NULL,
    kind text NOT NULL,
    at timestamptz NOT NULL
);

CREATE INDEX touch_lead ON touch (lead_id, at);

CREATE TABLE consent (
    lead_id uuid NOT NULL,
    purpose text NOT NULL,
    basis text NOT NULL,
    granted boolean NOT NULL,
    at timestamptz NOT NULL,
    text_version text NOT NULL,
    PRIMARY KEY (lead_id, purpose)
);

CREATE TABLE entry (
    event_id uuid PRIMARY KEY,
    lead_id uuid NOT NULL,
    seq bigint NOT NULL,
    at timestamptz NOT NULL,
    kind text NOT NULL,
    value bytea NOT NULL
);

CREATE INDEX entry_lead ON entry (lead_id, seq);

CREATE TABLE rep (
    rep_id text PRIMARY KEY,
    version bigint NOT NULL,
    name text NOT NULL,
    value bytea NOT NULL
);

CREATE TABLE opportunity (
    opportunity_id text PRIMARY KEY,
    lead_id uuid,
    account text NOT NULL,
    value bytea NOT NULL
);

CREATE INDEX opportunity_lead ON opportunity (lead_id) WHERE lead_id IS NOT NULL;

CREATE INDEX opportunity_account ON opportunity (lower(account));

CREATE TABLE change (
    seq bigint PRIMARY KEY,
    at timestamptz NOT NULL DEFAULT clock_timestamp(),
    rep_id text NOT NULL,
    lead_id uuid,
    kind text NOT NULL,
    data jsonb NOT NULL
);

CREATE INDEX change_rep ON change (rep_id, seq);

CREATE INDEX change_lead ON change (lead_id, seq);

CREATE INDEX change_age ON change (at);

CREATE TABLE change_floor (
    only_one boolean PRIMARY KEY DEFAULT true CHECK (only_one),
    seq bigint NOT NULL
);

INSERT INTO change_floor (seq) VALUES (0);

ALTER TABLE account ADD COLUMN name text NOT NULL DEFAULT '';

CREATE TABLE session (
    token_hash bytea PRIMARY KEY,
    email text NOT NULL REFERENCES account (email) ON DELETE CASCADE,
    made_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz NOT NULL
);

CREATE INDEX session_email ON session (email);

CREATE TABLE signin_failure (
    who bytea NOT NULL,
    at timestamptz NOT NULL DEFAULT now()
);

CREATE INDEX signin_failure_who ON signin_failure (who, at)
"""


def upgrade() -> None:
    for statement in STATEMENTS.split(";"):
        op.execute(statement)


def downgrade() -> None:
    for table in (
        "signin_failure",
        "session",
        "change_floor",
        "change",
        "opportunity",
        "rep",
        "entry",
        "consent",
        "touch",
        "clock",
        "assignment",
        "lead",
    ):
        op.execute(f"DROP TABLE {table}")
    op.execute("ALTER TABLE account DROP COLUMN name")
    op.execute("DROP FUNCTION lead_family")
    op.execute("DROP INDEX subject_merged")
