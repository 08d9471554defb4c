"""What waits for a lead waits for any of the identifiers that it was named by; a rep finds own leads."""

from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

STATEMENTS = """
CREATE TABLE waiting_fact (
    digest bytea NOT NULL,
    fact_id uuid NOT NULL REFERENCES fact ON DELETE CASCADE,
    PRIMARY KEY (digest, fact_id)
);

CREATE INDEX waiting_fact_fact ON waiting_fact (fact_id);

INSERT INTO waiting_fact SELECT waits_for, fact_id FROM fact WHERE waits_for IS NOT NULL;

ALTER TABLE fact DROP COLUMN waits_for;

CREATE INDEX lead_owner_rep ON lead_owner (rep_id)
"""


def upgrade() -> None:
    for statement in STATEMENTS.split(";"):
        op.execute(statement)


def downgrade() -> None:
    op.execute("DROP INDEX lead_owner_rep")
    op.execute("ALTER TABLE fact ADD COLUMN waits_for bytea")
    op.execute("UPDATE fact SET waits_for = w.digest FROM waiting_fact w WHERE w.fact_id = fact.fact_id")
    op.execute("CREATE INDEX fact_waiting ON fact (waits_for) WHERE waits_for IS NOT NULL")
    op.execute("DROP TABLE waiting_fact")
