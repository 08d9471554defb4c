"""Brings a service's database to the newest revision, once, before anything else uses it."""

import importlib.util
import re
from pathlib import Path
from typing import Final

import asyncpg

_REVISION: Final = re.compile(r"^revision(?:: str)? = [\"'](.+)[\"']", re.MULTILINE)
_BACKBONE: Final = Path(__file__).parent / "migrations"
_TABLES: Final = ("backbone_version", "alembic_version")


def folders(package: str) -> list[tuple[str, Path]]:
    """Return (version table, versions folder): delivery's own, then the service's, which stands beside its package."""
    own = (_TABLES[0], _BACKBONE / "versions")
    if package == "backbone":
        return [own]
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError(package)
    inside = Path(spec.origin).parent / "migrations" / "versions"
    beside = Path(spec.origin).parent.parent / "migrations" / "versions"
    return [own, (_TABLES[1], inside if inside.is_dir() else beside)]


def _newest(versions: Path) -> str | None:
    revisions = [match[1] for path in versions.glob("*.py") if (match := _REVISION.search(path.read_text("utf-8")))]
    return max(revisions, default=None)


async def is_current(url: str, package: str) -> bool:
    """Say whether there is nothing to do. Cheaper by a second of start time than to import alembic and find out."""
    conn = await asyncpg.connect(url, timeout=5)
    try:
        for table, versions in folders(package):
            newest = _newest(versions)
            if newest is None:
                continue
            if await conn.fetchval("SELECT to_regclass($1)", table) is None:
                return False
            if await conn.fetchval(f"SELECT version_num FROM {table}") != newest:  # noqa: S608 - our own names
                return False
        return True
    finally:
        await conn.close()


def upgrade(url: str, package: str) -> None:
    """Run what is missing. Revision ids have to sort in their order (0001, 0002, …). Call it outside an event loop."""
    from alembic import command
    from alembic.config import Config

    for table, versions in folders(package):
        if _newest(versions) is None:
            continue
        config = Config()
        config.set_main_option("script_location", str(_BACKBONE))
        config.set_main_option("version_locations", str(versions))
        config.set_main_option("path_separator", "newline")
        config.set_main_option("version_table", table)
        config.set_main_option("sqlalchemy.url", url.replace("%", "%%"))
        command.upgrade(config, "head")
