"""Who holds a phone, why leads are one person, what each of them knew by itself; nothing personal in clear."""

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

STATEMENTS = """
ALTER TABLE identifier ADD COLUMN holders uuid[];

UPDATE identifier SET holders = ARRAY[lead_id] WHERE kind = 'phone' AND lead_id IS NOT NULL;

CREATE INDEX identifier_holders ON identifier USING gin (holders) WHERE holders IS NOT NULL;

CREATE TABLE lead_edge (
    one uuid NOT NULL,
    other uuid NOT NULL,
    why text NOT NULL,
    digest bytea NOT NULL,
    PRIMARY KEY (one, other, why, digest),
    CHECK (one < other)
);

CREATE INDEX lead_edge_other ON lead_edge (other);

INSERT INTO lead_edge
SELECT least(lead_id, merged_into), greatest(lead_id, merged_into), merge_reason, '' FROM lead
WHERE merged_into IS NOT NULL;

ALTER TABLE lead DROP COLUMN merge_reason;

ALTER TABLE lead ADD COLUMN own bytea;

ALTER TABLE lead ADD COLUMN hidden text[] NOT NULL DEFAULT '{}';

ALTER TABLE fact ADD COLUMN hidden bytea;

ALTER TABLE erasure ADD COLUMN erased uuid[] NOT NULL DEFAULT '{}';

ALTER TABLE erasure ADD COLUMN keys_gone_at timestamptz
"""


def upgrade() -> None:
    for statement in STATEMENTS.split(";"):
        op.execute(statement)


def downgrade() -> None:
    for column in ("keys_gone_at", "erased"):
        op.execute(f"ALTER TABLE erasure DROP COLUMN {column}")
    op.execute("ALTER TABLE fact DROP COLUMN hidden")
    for column in ("hidden", "own"):
        op.execute(f"ALTER TABLE lead DROP COLUMN {column}")
    op.execute("ALTER TABLE lead ADD COLUMN merge_reason text")
    op.execute("DROP TABLE lead_edge")
    op.execute("ALTER TABLE identifier DROP COLUMN holders")
