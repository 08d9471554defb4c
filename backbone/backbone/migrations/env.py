"""Runs the migrations of one database: alembic.ini's section says whose, the caller gives the address."""

import asyncio

from alembic import context
from sqlalchemy import Connection, pool, text
from sqlalchemy.ext.asyncio import create_async_engine

LOCK = 7_263_114_001
"""Advisory lock: of several instances that start together one migrates, the others wait."""


def migrate(connection: Connection) -> None:
    with connection.begin():
        connection.execute(text(f"SELECT pg_advisory_xact_lock({LOCK})"))
        context.configure(
            connection=connection,
            version_table=context.config.get_main_option("version_table", "alembic_version"),
            transaction_per_migration=False,
        )
        context.run_migrations()


async def run() -> None:
    url = (context.config.get_main_option("sqlalchemy.url") or "").replace("postgresql://", "postgresql+asyncpg://", 1)
    engine = create_async_engine(url, poolclass=pool.NullPool)
    async with engine.connect() as connection:
        await connection.run_sync(migrate)
    await engine.dispose()


asyncio.run(run())
