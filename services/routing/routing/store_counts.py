"""How many open leads each rep has, in all and of each pool that has a cap: written so that no cap can be broken.

The constraints stand behind what is decided in memory, and are of what the database has.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Final

import asyncpg

from backbone.database import Connection
from routing import index
from routing.domain import Policy
from routing.index import Count
from routing.store_group import Group

_SAVE: Final = """
UPDATE rep r SET open = r.open + v.opened, untouched = v.untouched, turns = v.turns,
    last_assigned_at = v.last_assigned_at,
    allowed = CASE WHEN r.open + v.opened <= r.cap THEN 0 WHEN v.forced THEN r.open + v.opened
              ELSE least(r.allowed, r.open + v.opened) END
FROM unnest($1::text[], $2::int[], $3::int[], $4::jsonb[], $5::timestamptz[], $6::boolean[])
    AS v(rep_id, opened, untouched, turns, last_assigned_at, forced)
WHERE r.rep_id = v.rep_id
"""
_BEGIN_POOLS: Final = """
INSERT INTO pool_load (rep_id, pool, open, cap) SELECT v.rep_id, v.pool, 0, v.cap
FROM unnest($1::text[], $2::text[], $3::int[]) AS v(rep_id, pool, cap) ON CONFLICT DO NOTHING
"""
_SAVE_POOLS: Final = """
UPDATE pool_load p SET open = p.open + v.opened,
    allowed = CASE WHEN p.open + v.opened <= p.cap THEN 0 ELSE least(p.allowed, p.open + v.opened) END
FROM unnest($1::text[], $2::text[], $3::int[]) AS v(rep_id, pool, opened)
WHERE p.rep_id = v.rep_id AND p.pool = v.pool
"""
_COUNT_POOLS: Final = """
INSERT INTO pool_load (rep_id, pool, open, cap, allowed)
SELECT a.rep_id, a.pool, count(*), c.cap, CASE WHEN count(*) > c.cap THEN count(*) ELSE 0 END
FROM assignment a JOIN unnest($1::text[], $2::int[]) AS c(pool, cap) USING (pool) GROUP BY a.rep_id, a.pool, c.cap
"""
_CAPS: Final = ("cap_is_exact", "pool_cap_is_exact")


class CapBroken(asyncpg.SerializationError):
    """The database refused a count: what was kept in memory was stale. Rolled back, loaded anew and tried again."""


async def save(conn: Connection, group: Group, *, forced: frozenset[str]) -> None:
    """Write what changed of the reps' counts. CapBroken rather than a rep over a cap, unless a person forced it."""
    before = group.index.before
    counted = [
        group.index.reps[rep_id] for rep_id in before if index.counts(group.index.reps[rep_id]) != before[rep_id]
    ]
    try:
        if counted:
            await conn.execute(
                _SAVE,
                [rep.rep_id for rep in counted],
                [rep.open - before[rep.rep_id].open for rep in counted],
                [rep.untouched for rep in counted],
                [rep.turns for rep in counted],
                [rep.last_assigned_at for rep in counted],
                [rep.rep_id in forced for rep in counted],
            )
            await _save_pools(conn, group.policy, [(before[rep.rep_id], index.counts(rep)) for rep in counted])
    except asyncpg.CheckViolationError as error:
        if error.constraint_name not in _CAPS:
            raise
        raise CapBroken(f"a rep would be over a cap ({error.constraint_name})") from error
    await _keep(conn, group)


async def count_pools(conn: Connection, caps: Mapping[str, int]) -> None:
    """Let other caps of pools hold; who has more of one already, keeps what they have."""
    await conn.execute("DELETE FROM pool_load")
    await conn.execute(_COUNT_POOLS, list(caps), list(caps.values()))


async def _save_pools(conn: Connection, policy: Policy | None, changes: Iterable[tuple[Count, Count]]) -> None:
    changed = list(_of_pools(policy, changes)) if policy is not None else []
    fresh = [one for one in changed if one[4]]
    if fresh:
        await conn.execute(_BEGIN_POOLS, *([one[number] for one in fresh] for number in (0, 1, 3)))
    if changed:
        await conn.execute(_SAVE_POOLS, *([one[number] for one in changed] for number in (0, 1, 2)))


def _of_pools(policy: Policy, changes: Iterable[tuple[Count, Count]]) -> Iterator[tuple[str, str, int, int, bool]]:
    """Return (rep, pool, how many more, cap, whether it is the first) of pools with a cap."""
    for before, after in changes:
        for name, count in after.by_pool.items():
            pool, was = policy.pools.get(name), before.by_pool.get(name, 0)
            if pool is not None and pool.cap is not None and count != was:
                yield after.rep_id, name, count - was, pool.cap, was == 0


async def _keep(conn: Connection, group: Group) -> None:
    """Keep how the counts went, so that a decision can be made again from what it saw."""
    log = group.index.log
    if not log:
        return
    await conn.copy_records_to_table(
        "rep_count",
        columns=("sequence", "ordinal", *Count._fields),
        records=[(group.sequence + 1, ordinal, *one) for ordinal, one in enumerate(log)],
    )
    log.clear()
