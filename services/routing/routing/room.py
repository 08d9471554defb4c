"""What keeps a rep from taking leads."""

from routing.domain import Pool, Rep, WhyNot
from routing.narrowing import Narrowing


def without_room(pool: Pool, narrows: Narrowing | None, rep: Rep, *, touched: bool) -> WhyNot | None:
    """Return what keeps every such lead from the rep, None when nothing does."""
    if rep.away is WhyNot.INACTIVE:
        return rep.away
    if narrows is not None and not narrows.holds(rep.values):
        return WhyNot.NO_MATCH
    if rep.away is not None:
        return rep.away
    if rep.open >= rep.cap or (pool.cap is not None and rep.by_pool.get(pool.pool, 0) >= pool.cap):
        return WhyNot.AT_CAP
    if pool.untouched_cap is not None and rep.untouched >= pool.untouched_cap and not touched:
        return WhyNot.UNTOUCHED_CAP
    return None
