"""Companies' names are compared without the stops and commas after words."""

from alembic import op

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None

COLUMNS = (("lead", "company"), ("waiting", "company"), ("account", "name"), ("opportunity", "account"))


def upgrade() -> None:
    for table, column in COLUMNS:
        op.execute(
            f"UPDATE {table} SET {column} = btrim(regexp_replace("  # noqa: S608 - names of this file
            rf"regexp_replace({column}, '[.,]+(?=\s|$)', '', 'g'), '\s+', ' ', 'g')) WHERE {column} ~ '[.,](\s|$)'"
        )


def downgrade() -> None:
    """The names are as good as before for whoever compares them the other way."""
