"""Decisions keep what nobody queries as it was written: who was considered as lists, the inputs as bytes."""

from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("ALTER TABLE decision ALTER COLUMN inputs TYPE bytea USING convert_to(inputs::text, 'UTF8')")
    op.execute("""
        UPDATE decision SET considered = coalesce((
            SELECT jsonb_agg(jsonb_build_array(one->'rep_id', one->'chosen', one->'reason') ORDER BY place)
            FROM jsonb_array_elements(considered) WITH ORDINALITY AS thought(one, place)), '[]')
    """)


def downgrade() -> None:
    op.execute("ALTER TABLE decision ALTER COLUMN inputs TYPE jsonb USING convert_from(inputs, 'UTF8')::jsonb")
    op.execute("""
        UPDATE decision SET considered = coalesce((
            SELECT jsonb_agg(jsonb_build_object('rep_id', one->0, 'chosen', one->1, 'reason', one->2) ORDER BY place)
            FROM jsonb_array_elements(considered) WITH ORDINALITY AS thought(one, place)), '[]')
    """)
