"""Leads of one account are colleagues by the company's name and by hierarchy too: what these are looked up by."""

import unicodedata

import sqlalchemy
from alembic import op

from handoff.events.v1 import common_pb2

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("ALTER TABLE lead ADD COLUMN company text NOT NULL DEFAULT ''")
    op.execute("CREATE INDEX lead_company ON lead (company) WHERE company <> ''")
    op.execute("CREATE INDEX account_parent ON account ((document->>'parent_domain'))")
    conn = op.get_bind()
    # Only who is worked is a colleague; whoever gets a rep later is written with their company then.
    held = "SELECT lead_id, fields FROM lead JOIN assignment USING (lead_id) WHERE fields IS NOT NULL"
    for lead_id, fields in conn.execute(sqlalchemy.text(held)).all():
        said = {"lead_id": lead_id, "company": _compared(common_pb2.LeadFields.FromString(fields).company)}
        conn.execute(sqlalchemy.text("UPDATE lead SET company = :company WHERE lead_id = :lead_id"), said)


def _compared(name: str) -> str:
    """Return a name as routing.accounts.company did when this was written."""
    return " ".join(unicodedata.normalize("NFKC", name).casefold().split())


def downgrade() -> None:
    op.execute("DROP INDEX account_parent")
    op.execute("ALTER TABLE lead DROP COLUMN company")
