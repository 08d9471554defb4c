"""The review queue in order, when time changes a score, versions that follow one another, and a reason's words."""

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

STATEMENTS = """
ALTER TABLE lead
    ADD COLUMN stage_since timestamptz,
    ADD COLUMN hot_action text NOT NULL DEFAULT '',
    ADD COLUMN next_score_at timestamptz,
    ADD COLUMN ended text NOT NULL DEFAULT '',
    ADD COLUMN handed_at timestamptz,
    ADD COLUMN declined int NOT NULL DEFAULT 0,
    ADD COLUMN queue_kind text,
    ADD COLUMN queue_rank int NOT NULL DEFAULT 999,
    ADD COLUMN queue_since timestamptz;

UPDATE lead SET queue_kind = CASE WHEN review_since IS NULL THEN 'bant' ELSE 'review' END,
    queue_since = coalesce(review_since, arrived_at, recorded_at, now())
    WHERE live AND NOT closed AND (review_since IS NOT NULL OR stage = 'mql');

CREATE INDEX lead_queue ON lead (queue_rank, queue_since, lead_id) WHERE queue_kind IS NOT NULL;
CREATE INDEX lead_due ON lead (next_score_at) WHERE next_score_at IS NOT NULL;
CREATE INDEX lead_created ON lead (occurred_at, lead_id);
DROP INDEX lead_review;
DROP INDEX lead_mql;

ALTER TABLE definition ADD COLUMN active_until timestamptz;
DROP INDEX definition_active;

ALTER TABLE rescoring
    ADD COLUMN due_at timestamptz NOT NULL DEFAULT now(),
    ADD COLUMN done int NOT NULL DEFAULT 0;

ALTER TABLE history
    ADD COLUMN words text,
    ADD COLUMN decided_by text;

CREATE INDEX IF NOT EXISTS subject_merged_into ON subject (merged_into) WHERE merged_into IS NOT NULL;

CREATE INDEX history_at ON history (at) WHERE to_stage = 'mql'
"""


def upgrade() -> None:
    for statement in STATEMENTS.split(";"):
        op.execute(statement)


def downgrade() -> None:
    op.execute("DROP INDEX history_at")
    op.execute("DROP INDEX subject_merged_into")
    op.execute("ALTER TABLE history DROP COLUMN words, DROP COLUMN decided_by")
    op.execute("ALTER TABLE rescoring DROP COLUMN due_at, DROP COLUMN done")
    op.execute("UPDATE definition SET state = 'retired' WHERE active_until IS NOT NULL")
    op.execute("ALTER TABLE definition DROP COLUMN active_until")
    op.execute("CREATE UNIQUE INDEX definition_active ON definition (name) WHERE state = 'active'")
    op.execute("CREATE INDEX lead_review ON lead (review_since) WHERE review_since IS NOT NULL")
    op.execute("CREATE INDEX lead_mql ON lead (lead_id) WHERE stage = 'mql'")
    op.execute("DROP INDEX lead_created")
    op.execute(
        "ALTER TABLE lead DROP COLUMN stage_since, DROP COLUMN hot_action, DROP COLUMN next_score_at,"
        " DROP COLUMN ended, DROP COLUMN handed_at, DROP COLUMN declined, DROP COLUMN queue_kind,"
        " DROP COLUMN queue_rank, DROP COLUMN queue_since"
    )
