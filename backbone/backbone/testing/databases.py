"""An empty migrated database for each test: made from a template once, emptied and handed on after a test.

Making one costs ten times as much as emptying one, and as much again when all are deleted at the end of a run.
"""

import asyncio
from collections import defaultdict
from dataclasses import dataclass, field
from typing import Final
from uuid import uuid4

import asyncpg

from backbone import migration
from backbone.testing import eventually

CLOSING_PATIENCE_S: Final = 0.5
# The schema as_migrated has a copy of each row that migrations made.
_KEEP: Final = """
DO $$ DECLARE name text; is_filled boolean; BEGIN
    CREATE SCHEMA as_migrated;
    FOR name IN SELECT tablename FROM pg_tables WHERE schemaname = 'public' LOOP
        EXECUTE format('SELECT EXISTS (SELECT FROM public.%I)', name) INTO is_filled;
        IF is_filled THEN
            EXECUTE format('CREATE TABLE as_migrated.%I AS SELECT * FROM public.%1$I', name);
        END IF;
    END LOOP;
END $$
"""
_EMPTY: Final = """
DO $$ DECLARE name text; BEGIN
    SET LOCAL session_replication_role = replica;
    SET LOCAL lock_timeout = '1s';
    FOR name IN SELECT relname FROM pg_class
        WHERE relnamespace = 'public'::regnamespace AND relkind = 'r' AND pg_relation_size(oid) > 0 LOOP
        EXECUTE format('DELETE FROM public.%I', name);
    END LOOP;
    FOR name IN SELECT tablename FROM pg_tables WHERE schemaname = 'as_migrated' LOOP
        EXECUTE format('INSERT INTO public.%I SELECT * FROM as_migrated.%1$I', name);
    END LOOP;
    FOR name IN SELECT sequencename FROM pg_sequences WHERE schemaname = 'public' AND last_value IS NOT NULL LOOP
        EXECUTE format('ALTER SEQUENCE public.%I RESTART', name);
    END LOOP;
END $$
"""
_OTHERS: Final = """
SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()
"""


@dataclass(slots=True)
class Databases:
    """The databases of one worker of a test run."""

    server: str
    """URL of the server without a database's name."""
    _templates: dict[str, asyncio.Task[str]] = field(default_factory=dict)
    _free: defaultdict[str, list[str]] = field(default_factory=lambda: defaultdict(list))

    def url(self, name: str) -> str:
        """Return the URL of a database."""
        return f"{self.server}/{name}"

    async def take(self, package: str | None) -> str:
        """Return the name of an empty database with the package's tables, or with none."""
        if free := self._free[package or ""]:
            return free.pop()
        if package is None:
            return await self._create()
        if package not in self._templates:
            self._templates[package] = asyncio.ensure_future(self._make_template(package))
        return await self._create(template=await self._templates[package])

    async def give_back(self, name: str, package: str | None) -> None:
        """Empty a database for the next who takes one; one that somebody still uses is left alone."""
        conn = await asyncpg.connect(self.url(name))

        async def is_left() -> None:
            assert await conn.fetchval(_OTHERS) == 0

        try:
            await eventually(is_left, patience_s=CLOSING_PATIENCE_S)
            await conn.execute(_EMPTY)
        except (AssertionError, asyncpg.PostgresError):
            return
        finally:
            await conn.close()
        self._free[package or ""].append(name)

    async def _make_template(self, package: str) -> str:
        name = await self._create()
        await asyncio.to_thread(migration.upgrade, self.url(name), package)
        await self._execute(name, _KEEP)
        return name

    async def _create(self, *, template: str | None = None) -> str:
        name = f"test_{uuid4().hex}"
        await self._execute("postgres", f"CREATE DATABASE {name}" + (f" TEMPLATE {template}" if template else ""))
        return name

    async def _execute(self, name: str, statement: str) -> None:
        conn = await asyncpg.connect(self.url(name))
        try:
            await conn.execute(statement)
        finally:
            await conn.close()
