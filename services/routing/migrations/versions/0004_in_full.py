"""Catching up with other instances, newcomers, accounts and colleagues, acceptance in time, ended assignments."""

from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

STATEMENTS = """
ALTER TABLE routing_group ADD COLUMN changed_at bigint NOT NULL DEFAULT 0;

CREATE TABLE group_step (
    sequence bigint PRIMARY KEY,
    stamp uuid NOT NULL
);

CREATE INDEX rep_count_sequence ON rep_count (sequence);

ALTER TABLE rep
    ADD COLUMN joined_at timestamptz,
    ADD COLUMN performance double precision NOT NULL DEFAULT 1;

ALTER TABLE rep ALTER COLUMN joined_at SET DEFAULT now();

ALTER TABLE rep_version
    ADD COLUMN joined_at timestamptz,
    ADD COLUMN performance double precision NOT NULL DEFAULT 1;

ALTER TABLE lead
    ADD COLUMN account_domain text,
    ADD COLUMN host_email text,
    ADD COLUMN previous jsonb NOT NULL DEFAULT '{}';

CREATE INDEX lead_account ON lead (account_domain) WHERE account_domain <> '';

CREATE INDEX account_name ON account (lower(document->>'name'));

CREATE TABLE opportunity (
    opportunity_id uuid PRIMARY KEY,
    lead_id uuid,
    account text NOT NULL,
    owner_id text NOT NULL,
    open boolean NOT NULL
);

CREATE INDEX opportunity_owner ON opportunity (owner_id) WHERE open;

CREATE TABLE hand_over (
    hand_over_id uuid PRIMARY KEY,
    at timestamptz NOT NULL,
    body jsonb NOT NULL,
    made_by text NOT NULL,
    answer jsonb
);

CREATE INDEX hand_over_at ON hand_over (at) WHERE answer IS NULL;

CREATE INDEX opportunity_lead ON opportunity (lead_id) WHERE open;

CREATE INDEX opportunity_account ON opportunity (account) WHERE open;

ALTER TABLE assignment ADD COLUMN accept_by timestamptz;

CREATE INDEX assignment_accept_by ON assignment (accept_by) WHERE accept_by IS NOT NULL;

ALTER TABLE waiting ADD COLUMN only_pool text;

ALTER TABLE routing_group ADD COLUMN performance_at timestamptz;

CREATE TABLE ended_assignment (
    lead_id uuid NOT NULL,
    cycle int NOT NULL,
    rep_id text NOT NULL,
    pool text NOT NULL,
    assigned_at timestamptz NOT NULL,
    ended_at timestamptz NOT NULL,
    touched boolean NOT NULL,
    outcome text NOT NULL,
    PRIMARY KEY (lead_id, cycle)
);

CREATE INDEX ended_assignment_at ON ended_assignment (ended_at)
"""


def upgrade() -> None:
    for statement in STATEMENTS.split(";"):
        op.execute(statement)


def downgrade() -> None:
    op.execute("DROP TABLE ended_assignment, hand_over, opportunity, group_step")
    op.execute("DROP INDEX rep_count_sequence, account_name")
    op.execute("ALTER TABLE assignment DROP COLUMN accept_by")
    op.execute("ALTER TABLE waiting DROP COLUMN only_pool")
    op.execute("ALTER TABLE lead DROP COLUMN account_domain, DROP COLUMN host_email, DROP COLUMN previous")
    op.execute("ALTER TABLE rep DROP COLUMN joined_at, DROP COLUMN performance")
    op.execute("ALTER TABLE rep_version DROP COLUMN joined_at, DROP COLUMN performance")
    op.execute("ALTER TABLE routing_group DROP COLUMN changed_at, DROP COLUMN performance_at")
