"""What every batch and every look of the relay begins with, as functions, and rows as parameters: one round trip each.

Both functions have to be VOLATILE, as they are by default: each of their statements then sees what was committed before
it, also by whoever the statement before it had to wait for.
"""

from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

TAKE_BATCH = """
CREATE FUNCTION take_batch(
    of_group text, topics text[], partitions int[], believed bigint[], afterwards bigint[], subjects uuid[]
) RETURNS SETOF subject LANGUAGE plpgsql AS $$
BEGIN
    -- In the order of the parameters, which is everybody's: two who read the same partitions wait for each other in a
    -- line. Who waited compares with what the other has stored: an UPDATE looks at the newest version of its row.
    FOR i IN 1 .. cardinality(topics) LOOP
        UPDATE consumer_offset SET next_offset = afterwards[i]
        WHERE consumer_group = of_group AND topic = topics[i] AND partition = partitions[i]
            AND next_offset = believed[i];
        IF NOT FOUND THEN
            RAISE EXCEPTION 'the stored offset is not where it was believed to be' USING ERRCODE = 'HD001';
        END IF;
    END LOOP;
    RETURN QUERY SELECT * FROM subject s WHERE s.subject_id = ANY(subjects) ORDER BY s.subject_id FOR NO KEY UPDATE;
END
$$
"""

TAKE_OUTBOX = """
CREATE FUNCTION take_outbox(shards int, lock_space int, most int) RETURNS SETOF outbox LANGUAGE plpgsql AS $$
DECLARE
    held int[];
BEGIN
    PERFORM pg_advisory_unlock_all();
    SELECT array_agg(shard) INTO held FROM generate_series(0, shards - 1) AS shard
    WHERE pg_try_advisory_lock(lock_space, shard);
    RETURN QUERY SELECT * FROM outbox o WHERE o.shard = ANY(held) ORDER BY o.id LIMIT most;
    IF NOT FOUND THEN
        PERFORM pg_advisory_unlock_all();
    END IF;
END
$$
"""

SUBJECT_ROW = """
CREATE TYPE subject_row AS (
    subject_id uuid, published bigint, seen jsonb, merged_into uuid, erased_at timestamptz, waits boolean
)
"""
OUTBOX_ROW = """
CREATE TYPE outbox_row AS (
    shard smallint, topic text, partition int, key bytea, event_id uuid, type text, version bigint,
    occurred_at timestamptz, traceparent text, value bytea, reason text
)
"""


def upgrade() -> None:
    # Types of their own: a column more in a table must not stop processes of the version before.
    op.execute(SUBJECT_ROW)
    op.execute(OUTBOX_ROW)
    op.execute(TAKE_BATCH)
    op.execute(TAKE_OUTBOX)


def downgrade() -> None:
    op.execute("DROP FUNCTION take_outbox")
    op.execute("DROP FUNCTION take_batch")
    op.execute("DROP TYPE outbox_row")
    op.execute("DROP TYPE subject_row")
