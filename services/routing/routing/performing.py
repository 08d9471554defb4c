"""How reps' leads end, beside everybody's: what a performance-weighted pool multiplies weights with, once a day.

A rep's share of converted assignments over the last 90 days, drawn towards the share of all by 20 assignments' worth of
it (so that who had three leads is nobody's star), divided by the share of all, between 0.5 and 2.
"""

from collections.abc import Iterable
from datetime import timedelta
from typing import Any, Final, NamedTuple

from backbone.database import Connection
from routing import store_group
from routing.changing import Changing
from routing.desk import Desk

DAYS: Final = 90
EVERY: Final = timedelta(days=1)
PRIOR: Final = 20
LEAST: Final = 0.5
MOST: Final = 2.0


class Ended(NamedTuple):
    """How many of a rep's assignments ended, and how many of these with a conversion."""

    rep_id: str
    ended: int
    converted: int


def factors(ended: Iterable[Ended]) -> dict[str, float]:
    """Return each rep's factor; 1 for everybody while nothing was converted."""
    some = list(ended)
    converted = sum(one.converted for one in some)
    if not converted:
        return {one.rep_id: 1.0 for one in some}
    of_all = converted / sum(one.ended for one in some)
    shares = {one.rep_id: (one.converted + PRIOR * of_all) / (one.ended + PRIOR) for one in some}
    return {rep_id: min(MOST, max(LEAST, round(share / of_all, 3))) for rep_id, share in shares.items()}


async def weigh(changes: Changing) -> None:
    """Compute every rep's factor anew; decisions that begin later go by it."""
    await changes.make(_weigh)


async def _weigh(conn: Connection, desk: Desk) -> dict[str, Any]:
    at = await conn.fetchval("SELECT performance_at FROM routing_group")
    if at is not None and desk.now - at < EVERY:
        return {}
    rows = await conn.fetch(
        "SELECT rep_id, count(*) AS ended, count(*) FILTER (WHERE outcome = 'converted') AS converted"
        " FROM ended_assignment WHERE ended_at > $1 AND outcome IN ('converted', 'recycled', 'disqualified',"
        " 'unreachable', 'handed_back') GROUP BY rep_id ORDER BY rep_id",
        desk.now - timedelta(days=DAYS),
    )
    found = factors(Ended(**row) for row in rows)
    for rep_id, rep in sorted(desk.group.index.reps.items()):
        factor = found.get(rep_id, 1.0)
        if factor != rep.performance:
            await conn.execute("UPDATE rep SET performance = $2 WHERE rep_id = $1", rep_id, factor)
            await store_group.keep_version(
                conn, desk.group, rep_id, await store_group.known_rep(conn, rep_id, desk.now)
            )
    await conn.execute("UPDATE routing_group SET performance_at = $1", desk.now)
    return {}
