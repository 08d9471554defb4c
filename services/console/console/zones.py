"""Which clock a country goes by."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from functools import lru_cache
from importlib import resources
from zoneinfo import ZoneInfo


@lru_cache(maxsize=1)
def _zones() -> Mapping[str, list[str]]:
    table: dict[str, list[str]] = {}
    for line in resources.files("tzdata.zoneinfo").joinpath("zone.tab").read_text("utf-8").splitlines():
        if line and not line.startswith("#"):
            country, _, zone, *_ = line.split("\t")
            table.setdefault(country, []).append(zone)
    return table


@lru_cache(maxsize=512)
def zone_of(country: str) -> str | None:
    """Return a country's zone where the whole of it goes by the same clock, all year; None elsewhere."""
    zones = _zones().get(country, [])
    if not zones:
        return None
    now = datetime.now(ZoneInfo("UTC"))
    clocks = {
        tuple((now + timedelta(days=days)).astimezone(ZoneInfo(zone)).utcoffset() for days in (0, 90, 180, 270))
        for zone in zones
    }
    return zones[0] if len(clocks) == 1 else None
