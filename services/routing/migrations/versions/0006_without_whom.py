"""Who waits says without whom: leads that declined the same are let in by the same room."""

from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # Whom they declined is said when they are decided over anew, at once.
    op.execute(
        "UPDATE waiting SET retry_at = now(), targets = jsonb_build_object('of',"
        " jsonb_build_array(targets->'of'->0, '[]'::jsonb) || ((targets->'of') - 0))"
    )


def downgrade() -> None:
    op.execute("UPDATE waiting SET retry_at = now(), targets = jsonb_build_object('of', (targets->'of') - 1)")
