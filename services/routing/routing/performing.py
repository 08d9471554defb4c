"""How reps' leads end, beside those of their role: what a performance-weighted pool multiplies weights with, daily.

A rep's share of converted assignments over the last 90 days, drawn towards the share of their whole role by 20
assignments' worth of it (so that who had three leads is nobody's star), divided by the share of their whole role,
between 0.5 and 2. Far more of an SDR's leads are converted than of a sales rep's: beside each other, every SDR would be
a star, and the differences among them would vanish.
"""

from collections import Counter
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
    role: str
    ended: int
    converted: int


def factors(ended: Iterable[Ended]) -> dict[str, float]:
    """Return each rep's factor; 1 for everybody of a role in which nothing was converted."""
    some = list(ended)
    all_ended, all_converted = Counter[str](), Counter[str]()
    for one in some:
        all_ended[one.role] += one.ended
        all_converted[one.role] += one.converted
    return {one.rep_id: _factor(one, all_converted[one.role] / all_ended[one.role]) for one in some}


def _factor(one: Ended, of_all: float) -> float:
    if not of_all:
        return 1.0
    share = (one.converted + PRIOR * of_all) / (one.ended + PRIOR)
    return min(MOST, max(LEAST, round(share / of_all, 3)))


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
    found = factors(Ended(role=desk.group.roles[row["rep_id"]], **row) for row in rows)
    for rep_id, rep in sorted(desk.group.index.reps.items()):
        factor = found.get(rep_id, 1.0)
        if factor != rep.performance:
            await conn.execute("UPDATE rep SET performance = $2 WHERE rep_id = $1", rep_id, factor)
            await store_group.keep_version(
                conn, desk.group, rep_id, await store_group.known_rep(conn, rep_id, desk.now)
            )
    await conn.execute("UPDATE routing_group SET performance_at = $1", desk.now)
    return {}
