"""The routing group: its lock, its reps with their counts, its policy, its accounts.

One group holds the whole company (docs/decisions): everything that reads or frees room takes its row first. Instances
keep the reps in memory, valid while the row's sequence is the one they know.
"""

import asyncio
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from heapq import heappop, heappush
from typing import Any, Final
from uuid import UUID

from backbone import ids, reasons
from backbone.database import Connection
from backbone.reasons import Why
from routing import policies, reps, store_reasons
from routing.domain import Policy, Rep
from routing.index import Index
from routing.reps import Known

GROUP: Final = 1


_LOCK: Final = """
WITH locked AS MATERIALIZED (SELECT sequence, stamp, changed_at FROM routing_group WHERE group_id = $1 FOR UPDATE)
SELECT sequence, stamp, changed_at, clock_timestamp() AS now,
       EXISTS (SELECT FROM group_step s WHERE s.sequence = $2 AND s.stamp = $3) AS is_ours
FROM locked
"""
"""The lock is waited for, and the time that counts is the one after the wait: hence the order of the two.

`is_ours`: what this process remembers was committed, though others went on since.
"""

_STEPS_KEPT: Final = 10_000
"""Who was away from the group for longer loads all of it anew."""


@dataclass(slots=True)
class Group:
    """The group in a transaction that holds its lock."""

    index: Index
    policy: Policy | None
    known: Mapping[str, Known]
    sequence: int = 0
    stamp: UUID | None = None
    """Of the commit that made this state. A sequence number would come again after a rollback; this does not."""
    roles: Mapping[str, str] = field(default_factory=dict)
    """Of the reps."""
    has_accounts: bool = False
    by_email: Mapping[str, str] = field(default_factory=dict)
    """Rep ids by work address."""
    changes: list[tuple[datetime, str]] = field(default_factory=list)
    """A heap of when reps come or go next."""
    year: int = 0
    """Around which reps' holidays are known."""
    nobody_waits: bool = False
    """Known to be so of this state; else it has to be looked up."""
    codes: frozenset[str] = frozenset()
    """The reason codes in force."""

    def why(self, typed: str) -> Why:
        """Return what a person typed as a code, with the words where it is none."""
        return reasons.why(typed, self.codes)

    @property
    def reads(self) -> Collection[str]:
        """What its policy reads of companies beside their accounts."""
        return self.policy.reads if self.policy is not None else ()


class Cache:
    """What this process remembers of the group."""

    def __init__(self) -> None:
        self._group: Group | None = None
        self.more_wait = asyncio.Event()
        """Set when leads wait that the last transaction of this process did not look at."""

    async def lock(self, conn: Connection) -> tuple[Group, datetime]:
        """Lock the group's row and return the group as of now, with the database's time."""
        group = self._group
        # While the transaction changes it, it is nobody else's; a rollback leaves nothing behind.
        self._group = None
        row = await conn.fetchrow(_LOCK, GROUP, *((group.sequence, group.stamp) if group is not None else (0, None)))
        assert row is not None
        now: datetime = row["now"]
        if (
            group is None
            or group.year != now.year
            or (group.stamp != row["stamp"] and (not row["is_ours"] or row["changed_at"] > group.sequence))
        ):
            group = await _load(conn, row["sequence"], row["stamp"], now.year)
        elif group.stamp != row["stamp"]:
            await _catch_up(conn, group)
            group.sequence, group.stamp, group.nobody_waits = row["sequence"], row["stamp"], False
        group.index.begin()
        set_availability(group, now)
        return group, now

    def keep(self, group: Group) -> None:
        """Remember the group as written; should the commit fail, its stamp is never seen again."""
        self._group = group

    def forget(self) -> None:
        """Load the group anew at the next lock: reps, policy or accounts were changed."""
        self._group = None


async def _load(conn: Connection, sequence: int, stamp: UUID, year: int) -> Group:
    rows = await conn.fetch("SELECT * FROM rep ORDER BY rep_id")
    open_by_pool = await conn.fetch("SELECT rep_id, pool, count(*) AS open FROM assignment GROUP BY rep_id, pool")
    off = await _time_off(conn, [row["rep_id"] for row in rows])
    known = {row["rep_id"]: reps.known_of(row, off.get(row["rep_id"], []), year) for row in rows}
    for row in rows:
        known[row["rep_id"]].paused_by = frozenset(row["paused_by"])
    found = {row["rep_id"]: reps.rep_of(row) for row in rows}
    for row in open_by_pool:
        found[row["rep_id"]].by_pool[row["pool"]] = row["open"]
    policy = await policy_in_force(conn, {rep_id: rep.values for rep_id, rep in found.items()})
    group = made(known, found, policy, year)
    group.sequence, group.stamp = sequence, stamp
    group.has_accounts = await conn.fetchval("SELECT EXISTS (SELECT FROM account)")
    group.codes = await store_reasons.load(conn)
    return group


def made(known: Mapping[str, Known], found: dict[str, Rep], policy: Policy | None, year: int) -> Group:
    """Return a group of reps that nobody has looked up the presence of yet."""
    calendar_of = {rep_id: one.calendar for rep_id, one in known.items()}
    return Group(
        index=Index(found, reps.hours_of(calendar_of)),
        policy=policy,
        known=known,
        roles={rep_id: rep.role for rep_id, rep in found.items()},
        by_email={one.document["email"].lower(): rep_id for rep_id, one in sorted(known.items(), reverse=True)},
        changes=[(reps.LONG_AGO, rep_id) for rep_id in sorted(known)],
        year=year,
    )


async def policy_in_force(conn: Connection, values: Mapping[str, Mapping[str, Any]]) -> Policy | None:
    """Return the policy compiled for the reps as they are, None when there is none."""
    found = await conn.fetchrow("SELECT version, document FROM policy ORDER BY version DESC LIMIT 1")
    return policies.build(found["version"], found["document"], values) if found is not None else None


async def _catch_up(conn: Connection, group: Group) -> None:
    """Take in what other instances counted since: the log from where this one stopped."""
    rows = await conn.fetch(
        "SELECT DISTINCT ON (rep_id) * FROM rep_count WHERE sequence > $1 ORDER BY rep_id, sequence DESC, ordinal DESC",
        group.sequence,
    )
    for row in rows:
        reps.count(group.index, row)


def set_availability(group: Group, now: datetime) -> None:
    """Let in who came and let go who went since the last time: only those are looked at."""
    changes = group.changes
    while changes and changes[0][0] <= now:
        _, rep_id = heappop(changes)
        presence = reps.availability(group.known[rep_id], now, group.policy)
        if presence.until < reps.FOR_EVER:
            heappush(changes, (presence.until if presence.until > now else now + _LOOK_AGAIN, rep_id))
        group.index.come_or_go(rep_id, presence.away, presence.back_at, presence.share)


_LOOK_AGAIN: Final = timedelta(seconds=1)


async def advance(conn: Connection, group: Group, *, more_wait: bool = False, changed: bool = False) -> None:
    """Say that the group is another one now; every instance sees it at its next lock.

    `changed`: not its counts alone, but reps or the policy, so that others load it anew.
    """
    group.sequence += 1
    group.stamp = ids.new()
    await conn.execute(
        "WITH step AS (INSERT INTO group_step VALUES ($2, $3)),"
        " gone AS (DELETE FROM group_step WHERE sequence < $2 - $6 AND $2 % 1000 = 0)"
        " UPDATE routing_group SET sequence = $2, stamp = $3, drain = $4,"
        " changed_at = CASE WHEN $5 THEN $2 ELSE changed_at END WHERE group_id = $1",
        GROUP,
        group.sequence,
        group.stamp,
        more_wait,
        changed,
        _STEPS_KEPT,
    )


async def known_rep(conn: Connection, rep_id: str, now: datetime) -> Known:
    """Return one rep as the database has it now."""
    row = await conn.fetchrow("SELECT * FROM rep WHERE rep_id = $1", rep_id)
    return reps.known_of(row, (await _time_off(conn, [rep_id])).get(rep_id, []), now.year)


async def keep_version(conn: Connection, group: Group, rep_id: str, known: Known) -> None:
    """Keep a rep as changed, for decisions that are made again."""
    await conn.execute(
        "INSERT INTO rep_version (rep_id, sequence, document, version, cap, paused, time_off, joined_at, performance)"
        " VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) ON CONFLICT (rep_id, sequence) DO UPDATE SET"
        " document = excluded.document, version = excluded.version, cap = excluded.cap, paused = excluded.paused,"
        " time_off = excluded.time_off, joined_at = excluded.joined_at, performance = excluded.performance",
        rep_id,
        group.sequence + 1,
        known.document,
        known.version,
        known.document["cap"],
        known.paused,
        {"spans": [(start.isoformat(), end.isoformat()) for start, end in known.time_off]},
        known.joined_at,
        known.performance,
    )


async def loads(
    conn: Connection, now: datetime, *, only: str | None = None, after: str = "", limit: int | None = None
) -> list[tuple[Rep, Known]]:
    """Return reps with their counts and whether they are at work, as of the last commit; takes no lock."""
    rows = await conn.fetch(
        "SELECT * FROM rep WHERE ($1::text IS NULL OR rep_id = $1) AND rep_id > $2 ORDER BY rep_id LIMIT $3",
        only,
        after,
        limit,
    )
    off = await _time_off(conn, [row["rep_id"] for row in rows])
    policy = await policy_in_force(conn, {})
    found = []
    for row in rows:
        rep, known = reps.rep_of(row), reps.known_of(row, off.get(row["rep_id"], []), now.year)
        rep.away, rep.back_at, rep.share, _ = reps.availability(known, now, policy)
        found.append((rep, known))
    return found


async def _time_off(conn: Connection, rep_ids: Sequence[str]) -> dict[str, list[tuple[datetime, datetime]]]:
    rows = await conn.fetch(
        "SELECT * FROM time_off WHERE ends > now() - interval '1 day' AND rep_id = ANY($1::text[])"
        " ORDER BY rep_id, starts",
        list(rep_ids),
    )
    off: dict[str, list[tuple[datetime, datetime]]] = {}
    for row in rows:
        off.setdefault(row["rep_id"], []).append((row["starts"], row["ends"]))
    return off
