"""Which deals an SRL opened by itself: by those the lead stands where it does, whatever others it has."""

from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("ALTER TABLE opportunity ADD COLUMN by_srl boolean NOT NULL DEFAULT false")
    # Ids of what follows from an event are made of that event's (UUIDv5), those of what people open are not.
    op.execute(
        "UPDATE opportunity SET by_srl = true WHERE external_id IS NULL AND substr(opportunity_id::text, 15, 1) = '5'"
    )


def downgrade() -> None:
    op.execute("ALTER TABLE opportunity DROP COLUMN by_srl")
