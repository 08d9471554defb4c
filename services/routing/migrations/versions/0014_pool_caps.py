"""Constraints that no automation can pass: behind each rep's cap, and behind each pool's."""

from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None

STATEMENTS = """
ALTER TABLE rep ADD COLUMN allowed int NOT NULL DEFAULT 0;

COMMENT ON COLUMN rep.allowed IS 'how many open leads a person let the rep have over the cap';

UPDATE rep SET allowed = open WHERE open > cap;

ALTER TABLE rep DROP CONSTRAINT cap_is_exact, DROP COLUMN over_cap,
    ADD CONSTRAINT cap_is_exact CHECK (open <= greatest(cap, allowed));

CREATE TABLE pool_load (
    rep_id text NOT NULL REFERENCES rep,
    pool text NOT NULL,
    open int NOT NULL CHECK (open >= 0),
    cap int NOT NULL,
    allowed int NOT NULL DEFAULT 0,
    PRIMARY KEY (rep_id, pool),
    CONSTRAINT pool_cap_is_exact CHECK (open <= greatest(cap, allowed))
);

INSERT INTO pool_load (rep_id, pool, open, cap, allowed)
SELECT a.rep_id, a.pool, count(*), c.cap, CASE WHEN count(*) > c.cap THEN count(*) ELSE 0 END
FROM assignment a JOIN (
    SELECT p ->> 'pool' AS pool, (p ->> 'cap')::int AS cap
    FROM (SELECT document FROM policy ORDER BY version DESC LIMIT 1) f, jsonb_array_elements(f.document -> 'pools') p
    WHERE p ? 'cap'
) c USING (pool) GROUP BY a.rep_id, a.pool, c.cap
"""


def upgrade() -> None:
    for statement in STATEMENTS.split(";"):
        op.execute(statement)


def downgrade() -> None:
    op.execute("DROP TABLE pool_load")
    op.execute("ALTER TABLE rep DROP CONSTRAINT cap_is_exact, ADD COLUMN over_cap boolean NOT NULL DEFAULT false")
    op.execute("UPDATE rep SET over_cap = open > cap")
    op.execute("ALTER TABLE rep DROP COLUMN allowed, ADD CONSTRAINT cap_is_exact CHECK (open <= cap OR over_cap)")
