"""Every reason why a lead changes hands; the company of who waits; names of companies as they are compared."""

import unicodedata

import sqlalchemy
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

STATEMENTS = """
ALTER TABLE waiting
    ADD COLUMN reasons jsonb NOT NULL DEFAULT '{"of": []}',
    ADD COLUMN domain text NOT NULL DEFAULT '',
    ADD COLUMN company text NOT NULL DEFAULT '';

UPDATE waiting SET reasons = jsonb_build_object('of', jsonb_build_array(
    CASE hand_over WHEN 'reassigned' THEN 'missed' ELSE hand_over END)) WHERE hand_over IS NOT NULL;

UPDATE waiting SET retry_at = now();

ALTER TABLE waiting DROP COLUMN hand_over;

CREATE INDEX waiting_domain ON waiting (domain) WHERE domain <> '';

CREATE INDEX waiting_company ON waiting (company) WHERE company <> '';

CREATE INDEX lead_host ON lead (host_email) WHERE host_email IS NOT NULL;

DROP INDEX account_name;

ALTER TABLE account ADD COLUMN name text NOT NULL DEFAULT '';

CREATE INDEX account_name ON account (name) WHERE name <> ''
"""


def upgrade() -> None:
    for statement in STATEMENTS.split(";"):
        op.execute(statement)
    conn = op.get_bind()
    for domain, name in conn.execute(sqlalchemy.text("SELECT domain, document->>'name' FROM account")).all():
        said = {"domain": domain, "name": _compared(name or "")}
        conn.execute(sqlalchemy.text("UPDATE account SET name = :name WHERE domain = :domain"), said)
    for name in conn.execute(sqlalchemy.text("SELECT DISTINCT account FROM opportunity")).scalars().all():
        said = {"before": name, "name": _compared(name)}
        conn.execute(sqlalchemy.text("UPDATE opportunity SET account = :name WHERE account = :before"), said)


def _compared(name: str) -> str:
    """Return a name as routing.accounts.company did when this was written."""
    return " ".join(unicodedata.normalize("NFKC", name).casefold().split())


def downgrade() -> None:
    op.execute("DROP INDEX account_name, lead_host")
    op.execute("ALTER TABLE account DROP COLUMN name")
    op.execute("CREATE INDEX account_name ON account (lower(document->>'name'))")
    op.execute("ALTER TABLE waiting ADD COLUMN hand_over text")
    op.execute(
        "UPDATE waiting SET hand_over = CASE reasons->'of'->>0 WHEN 'missed' THEN 'reassigned'"
        " ELSE reasons->'of'->>0 END"
    )
    op.execute("ALTER TABLE waiting DROP COLUMN reasons, DROP COLUMN domain, DROP COLUMN company")
