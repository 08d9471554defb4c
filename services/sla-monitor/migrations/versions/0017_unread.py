"""Of which partitions what had come in is not read, as whoever reads them says to all who fire clocks."""

from alembic import op

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute(
        """
        CREATE TABLE unread (
            topic text,
            partition int,
            as_of timestamptz NOT NULL,
            told_at timestamptz NOT NULL,
            PRIMARY KEY (topic, partition)
        )
        """
    )


def downgrade() -> None:
    op.execute("DROP TABLE unread")
