"""What delivery needs in every service's database."""

from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

STATEMENTS = """
CREATE TABLE subject (
    subject_id uuid PRIMARY KEY,
    published bigint NOT NULL DEFAULT 0,
    seen jsonb NOT NULL DEFAULT '{}',
    merged_into uuid,
    erased_at timestamptz,
    CHECK (merged_into <> subject_id)
) WITH (fillfactor = 70);

CREATE TABLE consumer_offset (
    consumer_group text NOT NULL,
    topic text NOT NULL,
    partition int NOT NULL,
    next_offset bigint NOT NULL,
    PRIMARY KEY (consumer_group, topic, partition)
) WITH (fillfactor = 50);

CREATE TABLE outbox (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    shard smallint NOT NULL,
    topic text NOT NULL,
    partition int NOT NULL,
    key bytea NOT NULL,
    event_id uuid NOT NULL,
    type text NOT NULL,
    version bigint NOT NULL,
    occurred_at timestamptz NOT NULL,
    traceparent text NOT NULL,
    value bytea NOT NULL,
    reason text
);

CREATE TABLE parked (
    parked_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    consumer_group text NOT NULL,
    subject_id uuid,
    topic text NOT NULL,
    partition int NOT NULL,
    record_offset bigint NOT NULL,
    key bytea,
    headers jsonb NOT NULL,
    value bytea NOT NULL,
    reason text NOT NULL,
    failed boolean NOT NULL,
    parked_at timestamptz NOT NULL DEFAULT now(),
    UNIQUE (consumer_group, topic, partition, record_offset)
);

CREATE INDEX parked_subject ON parked (subject_id, parked_id);

CREATE TABLE consumer_halt (
    consumer_group text PRIMARY KEY,
    reason text NOT NULL,
    since timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE idempotency (
    caller text NOT NULL,
    route text NOT NULL,
    key text NOT NULL,
    body_hash bytea NOT NULL,
    status int,
    headers jsonb,
    body jsonb,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (caller, route, key)
);

CREATE INDEX idempotency_age ON idempotency (created_at);

CREATE TABLE stream_counter (
    stream text PRIMARY KEY,
    last bigint NOT NULL
) WITH (fillfactor = 50);

CREATE TABLE trusted_key (
    kid text PRIMARY KEY,
    jwk jsonb NOT NULL
);

CREATE TABLE machine_key (
    key_hash text PRIMARY KEY,
    name text NOT NULL,
    role text NOT NULL
)
"""


def upgrade() -> None:
    for statement in STATEMENTS.split(";"):
        op.execute(statement)


def downgrade() -> None:
    for table in (
        "machine_key",
        "trusted_key",
        "stream_counter",
        "idempotency",
        "consumer_halt",
        "parked",
        "outbox",
        "consumer_offset",
        "subject",
    ):
        op.execute(f"DROP TABLE {table}")
