"""The queue by what its leads wait for; reps' versions and counts as a log, so that a decision can be made again."""

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

STATEMENTS = """
ALTER TABLE routing_group ADD COLUMN drain boolean NOT NULL DEFAULT false;

UPDATE rep SET turns = '{}';

ALTER TABLE waiting
    ADD COLUMN key uuid NOT NULL DEFAULT gen_random_uuid(),
    ADD COLUMN targets jsonb NOT NULL DEFAULT '[]',
    ADD COLUMN hand_over text;

UPDATE waiting SET retry_at = now();

DROP INDEX waiting_order;

CREATE INDEX waiting_order ON waiting (rank, created_at, lead_id);
CREATE INDEX waiting_key ON waiting (key, rank, created_at, lead_id);

CREATE TABLE rep_version (
    rep_id text NOT NULL,
    sequence bigint NOT NULL,
    document jsonb NOT NULL,
    version bigint NOT NULL,
    cap int NOT NULL,
    paused boolean NOT NULL,
    time_off jsonb NOT NULL,
    PRIMARY KEY (rep_id, sequence)
);

CREATE TABLE rep_count (
    rep_id text NOT NULL,
    sequence bigint NOT NULL,
    ordinal int NOT NULL,
    open int NOT NULL,
    untouched int NOT NULL,
    by_pool jsonb NOT NULL,
    turns jsonb NOT NULL,
    last_assigned_at timestamptz,
    PRIMARY KEY (rep_id, sequence, ordinal)
);

ALTER TABLE decision
    ADD COLUMN ordinal int NOT NULL DEFAULT 0,
    ADD COLUMN inputs jsonb
"""


def upgrade() -> None:
    for statement in STATEMENTS.split(";"):
        op.execute(statement)


def downgrade() -> None:
    op.execute("ALTER TABLE decision DROP COLUMN ordinal, DROP COLUMN inputs")
    op.execute("DROP TABLE rep_count, rep_version")
    op.execute("DROP INDEX waiting_order, waiting_key")
    op.execute("ALTER TABLE waiting DROP COLUMN key, DROP COLUMN targets, DROP COLUMN hand_over")
    op.execute("CREATE INDEX waiting_order ON waiting (pool, rank, created_at, lead_id)")
    op.execute("ALTER TABLE routing_group DROP COLUMN drain")
