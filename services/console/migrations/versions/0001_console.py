"""Who may sign in, machine keys, and what the company set."""

from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

STATEMENTS = """
CREATE TABLE account (
    email text PRIMARY KEY,
    password_hash text NOT NULL,
    role text NOT NULL,
    rep_id text,
    made_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE issued_key (
    key_id uuid PRIMARY KEY,
    name text NOT NULL,
    role text NOT NULL,
    key_hash text NOT NULL UNIQUE,
    made_at timestamptz NOT NULL DEFAULT now(),
    made_by text NOT NULL,
    revoked_at timestamptz
);

CREATE TABLE reporting (
    only_one boolean PRIMARY KEY DEFAULT true CHECK (only_one),
    zone text NOT NULL,
    week_starts text NOT NULL,
    base_currency text NOT NULL,
    version bigint NOT NULL
)
"""


def upgrade() -> None:
    for statement in STATEMENTS.split(";"):
        op.execute(statement)


def downgrade() -> None:
    for table in ("reporting", "issued_key", "account"):
        op.execute(f"DROP TABLE {table}")
