"""Whose address a meeting's host has, every word of a deal, and until when a promise held."""

from alembic import op
from sqlalchemy import text

from handoff.events.v1 import common_pb2

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

STATEMENTS = """
ALTER TABLE rep ADD COLUMN email text NOT NULL DEFAULT '';

CREATE INDEX rep_of_email ON rep (email) WHERE email <> '';

ALTER TABLE promise ADD COLUMN retired_at timestamptz;

CREATE TABLE unknown_host (
    mark_id uuid PRIMARY KEY,
    email text NOT NULL
);

CREATE INDEX unknown_host_of_email ON unknown_host (email);

INSERT INTO mark (mark_id, lead_id, kind, at, recorded_at, rep_id, word, ref, until, policy)
SELECT gen_random_uuid(), lead_id, 'deal_moved', at, recorded_at, rep_id, kind, ref, until, policy
FROM mark WHERE kind IN ('won', 'lost');

DELETE FROM mark WHERE kind = 'lost'
"""


def upgrade() -> None:
    for statement in STATEMENTS.split(";"):
        op.execute(statement)
    for rep_id, data in op.get_bind().execute(text("SELECT rep_id, rep FROM rep")).all():
        email = common_pb2.Rep.FromString(data).email.lower()
        op.execute(text("UPDATE rep SET email = :email WHERE rep_id = :rep_id").bindparams(email=email, rep_id=rep_id))


def downgrade() -> None:
    op.execute("ALTER TABLE rep DROP COLUMN email")
    op.execute("ALTER TABLE promise DROP COLUMN retired_at")
    op.execute("DROP TABLE unknown_host")
