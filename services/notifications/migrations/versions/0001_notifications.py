"""Who is told how, every message with its fate, and what is known of leads to tell it with."""

from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

STATEMENTS = """
CREATE TABLE recipient (
    rep_id text PRIMARY KEY,
    work_email text,
    email text,
    webhook_url text,
    webhook_secret text,
    channels jsonb
);

CREATE TABLE lead (
    lead_id uuid PRIMARY KEY,
    company text NOT NULL DEFAULT '',
    sealed bytea,
    key_lead_id uuid
);

CREATE TABLE message (
    message_id uuid PRIMARY KEY,
    event_id uuid NOT NULL,
    channel text NOT NULL,
    rep_id text NOT NULL,
    lead_id uuid,
    kind text NOT NULL,
    body jsonb NOT NULL,
    state text NOT NULL,
    attempts int NOT NULL DEFAULT 0,
    next_at timestamptz NOT NULL DEFAULT now(),
    claimed_until timestamptz,
    reason text,
    made_at timestamptz NOT NULL DEFAULT now(),
    done_at timestamptz,
    UNIQUE (event_id, channel, rep_id)
);

CREATE INDEX message_next ON message (next_at) WHERE state IN ('pending', 'sending');
CREATE INDEX message_rep ON message (rep_id, made_at);
CREATE INDEX message_lead ON message (lead_id)
"""


def upgrade() -> None:
    for statement in STATEMENTS.split(";"):
        op.execute(statement)


def downgrade() -> None:
    for table in ("message", "lead", "recipient"):
        op.execute(f"DROP TABLE {table}")
