"""The routing group: its lock, its reps with their counts, its policy, its accounts.

One group holds the whole company (docs/decisions): everything that reads or frees room takes its row first. Instances
keep the reps in memory, valid while the row's sequence is the one they know.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from uuid import UUID

import asyncpg

from backbone import calendars, ids
from backbone.calendars import Calendar
from backbone.database import Connection
from handoff.events.v1 import common_pb2
from routing import policies
from routing.assigning import Count, Index
from routing.domain import Policy, Rep, Turn, WhyNot

GROUP: Final = 1


_LOCK: Final = """
WITH locked AS MATERIALIZED (SELECT sequence, stamp FROM routing_group WHERE group_id = $1 FOR UPDATE)
SELECT sequence, stamp, clock_timestamp() AS now FROM locked
"""
"""The lock is waited for, and the time that counts is the one after the wait: hence the order of the two."""


@dataclass(slots=True)
class Known:
    """A rep as the database has it."""

    document: Mapping[str, Any]
    version: int
    paused: bool
    calendar: Calendar
    time_off: Sequence[tuple[datetime, datetime]]
    away: WhyNot | None = None
    back_at: datetime | None = None
    holds_until: datetime | None = None
    """Until when `away` and `back_at` hold; None: they were never looked up."""
    message: common_pb2.Rep | None = None
    """As events tell of the rep, once one was told."""


@dataclass(slots=True)
class Group:
    """The group in a transaction that holds its lock."""

    sequence: int
    stamp: UUID
    """Of the commit that made this state. A sequence number would come again after a rollback; this does not."""
    index: Index
    policy: Policy | None
    known: Mapping[str, Known]
    accounts: Mapping[str, Mapping[str, Any]]
    before: dict[str, tuple[int, int, dict[str, Turn], datetime | None]] = field(default_factory=dict)
    nobody_waits: bool = False
    """Known to be so of this state; else it has to be looked up."""


class Cache:
    """What this process remembers of the group."""

    def __init__(self) -> None:
        self._group: Group | None = None
        self.more_wait = asyncio.Event()
        """Set when leads wait that the last transaction of this process did not look at."""

    async def lock(self, conn: Connection) -> tuple[Group, datetime]:
        """Lock the group's row and return the group as of now, with the database's time."""
        row = await conn.fetchrow(_LOCK, GROUP)
        assert row is not None
        now: datetime = row["now"]
        group = self._group
        # While the transaction changes it, it is nobody else's; a rollback leaves nothing behind.
        self._group = None
        if group is None or group.stamp != row["stamp"]:
            group = await _load(conn, row["sequence"], row["stamp"])
        _set_availability(group, now)
        group.index.log.clear()
        group.before = {
            rep.rep_id: (rep.open, rep.untouched, dict(rep.turns), rep.last_assigned_at)
            for rep in group.index.reps.values()
        }
        return group, now

    def keep(self, group: Group) -> None:
        """Remember the group as written; should the commit fail, its stamp is never seen again."""
        self._group = group

    def forget(self) -> None:
        """Load the group anew at the next lock: reps, policy or accounts were changed."""
        self._group = None


async def _load(conn: Connection, sequence: int, stamp: UUID) -> Group:
    rows = await conn.fetch("SELECT * FROM rep ORDER BY rep_id")
    open_by_pool = await conn.fetch("SELECT rep_id, pool, count(*) AS open FROM assignment GROUP BY rep_id, pool")
    accounts = await conn.fetch("SELECT domain, document FROM account")
    off = await _time_off(conn, [row["rep_id"] for row in rows])
    known = {row["rep_id"]: known_of(row, off.get(row["rep_id"], [])) for row in rows}
    reps = {row["rep_id"]: rep_of(row) for row in rows}
    for row in open_by_pool:
        reps[row["rep_id"]].by_pool[row["pool"]] = row["open"]
    values = {rep_id: rep.values for rep_id, rep in reps.items()}
    found = await conn.fetchrow("SELECT version, document FROM policy ORDER BY version DESC LIMIT 1")
    policy = policies.build(found["version"], found["document"], values) if found is not None else None
    return Group(
        sequence=sequence,
        stamp=stamp,
        index=Index(reps),
        policy=policy,
        known=known,
        accounts={row["domain"]: row["document"] for row in accounts},
    )


def known_of(row: Any, off: Sequence[tuple[datetime, datetime]]) -> Known:
    """Return what does not change in a batch of a rep, of a row with their document, version and pause."""
    document = row["document"]
    hours = [(one["days"], one["start"], one["end"]) for one in document["working_hours"]]
    closed = calendars.holidays(document["holidays"], datetime.now().year) if document.get("holidays") else frozenset()  # noqa: DTZ005
    calendar = Calendar(zone=document["time_zone"], windows=calendars.windows(hours), closed=closed, off=tuple(off))
    return Known(document=document, version=row["version"], paused=row["paused"], calendar=calendar, time_off=off)


def rep_of(row: Any) -> Rep:
    """Return a rep of a row with their document, cap and counts."""
    document = row["document"]
    texts = ("name", "team", "manager_id", "role", "kind", "time_zone")
    values: dict[str, Any] = {f"rep.{name}": document.get(name) or "" for name in texts}
    values |= {f"rep.{name}": document.get(name) or [] for name in ("skills", "languages", "territories")}
    values |= {
        "rep.rep_id": row["rep_id"],
        "rep.cap": row["cap"],
        "rep.weight": float(document["weight"]),
        "rep.active": document["active"],
    }
    return Rep(
        rep_id=row["rep_id"],
        role=document["role"],
        cap=row["cap"],
        weight=float(document["weight"]),
        values=values,
        away=None,
        back_at=None,
        open=row["open"],
        untouched=row["untouched"],
        turns={pool: Turn(*turn) for pool, turn in row["turns"].items()},
        last_assigned_at=row["last_assigned_at"],
    )


def _set_availability(group: Group, now: datetime) -> None:
    for rep_id, rep in group.index.reps.items():
        known = group.known[rep_id]
        if known.holds_until is None or now >= known.holds_until:
            known.away, known.back_at, known.holds_until = availability(known, now)
        rep.away, rep.back_at = known.away, known.back_at


def availability(known: Known, now: datetime) -> tuple[WhyNot | None, datetime | None, datetime]:
    """Return why a rep gets nothing now (None: they do), when they are back, and until when this holds."""
    if not known.document["active"]:
        return WhyNot.INACTIVE, None, _FOR_EVER
    if known.paused:
        return WhyNot.PAUSED, None, _FOR_EVER
    closes = calendars.open_until(known.calendar, now)
    if closes is not None:
        return None, None, closes
    back = calendars.next_opening(known.calendar, now)
    leave = next((end for start, end in known.time_off if start <= now < end), None)
    changes = min((at for at in (back, leave) if at is not None), default=now + _LOOK_AGAIN)
    return (WhyNot.ON_LEAVE if leave is not None else WhyNot.OFF_HOURS), back, changes


_FOR_EVER: Final = datetime.max.replace(tzinfo=UTC)
_LOOK_AGAIN: Final = timedelta(days=1)


class CapBroken(asyncpg.SerializationError):
    """The database refused a count: what was kept in memory was stale. Rolled back, loaded anew and tried again."""


async def save_reps(conn: Connection, group: Group, *, forced: frozenset[str], more_wait: bool) -> None:
    """Write what changed of the reps' counts. CapBroken rather than a rep over the cap, unless a person forced it."""
    changed = [
        rep
        for rep in group.index.reps.values()
        if (rep.open, rep.untouched, rep.turns, rep.last_assigned_at) != group.before[rep.rep_id]
    ]
    if changed:
        status = await conn.execute(
            "UPDATE rep r SET open = r.open + v.opened, untouched = v.untouched, turns = v.turns,"
            " last_assigned_at = v.last_assigned_at, over_cap = r.open + v.opened > r.cap"
            " FROM unnest($1::text[], $2::int[], $3::int[], $4::jsonb[], $5::timestamptz[], $6::boolean[])"
            " AS v(rep_id, opened, untouched, turns, last_assigned_at, forced)"
            " WHERE r.rep_id = v.rep_id AND (v.opened <= 0 OR v.forced OR r.open + v.opened <= r.cap)",
            [rep.rep_id for rep in changed],
            [rep.open - group.before[rep.rep_id][0] for rep in changed],
            [rep.untouched for rep in changed],
            [rep.turns for rep in changed],
            [rep.last_assigned_at for rep in changed],
            [rep.rep_id in forced for rep in changed],
        )
        if int(status.split()[-1]) != len(changed):
            raise CapBroken("a rep would be over the cap")
    await _keep_counts(conn, group)
    await advance(conn, group, more_wait=more_wait)


async def _keep_counts(conn: Connection, group: Group) -> None:
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


async def advance(conn: Connection, group: Group, *, more_wait: bool = False) -> None:
    """Say that the group is another one now; every instance sees it at its next lock."""
    group.sequence += 1
    group.stamp = ids.new()
    await conn.execute(
        "UPDATE routing_group SET sequence = $2, stamp = $3, drain = $4 WHERE group_id = $1",
        GROUP,
        group.sequence,
        group.stamp,
        more_wait,
    )


async def known_rep(conn: Connection, rep_id: str) -> Known:
    """Return one rep as the database has it now."""
    row = await conn.fetchrow("SELECT * FROM rep WHERE rep_id = $1", rep_id)
    return known_of(row, (await _time_off(conn, [rep_id])).get(rep_id, []))


async def keep_version(conn: Connection, group: Group, rep_id: str, known: Known) -> None:
    """Keep a rep as changed, for decisions that are made again."""
    await conn.execute(
        "INSERT INTO rep_version (rep_id, sequence, document, version, cap, paused, time_off)"
        " VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (rep_id, sequence) DO UPDATE SET"
        " document = excluded.document, version = excluded.version, cap = excluded.cap, paused = excluded.paused,"
        " time_off = excluded.time_off",
        rep_id,
        group.sequence + 1,
        known.document,
        known.version,
        known.document["cap"],
        known.paused,
        {"spans": [(start.isoformat(), end.isoformat()) for start, end in known.time_off]},
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
    found = []
    for row in rows:
        rep, known = rep_of(row), known_of(row, off.get(row["rep_id"], []))
        rep.away, rep.back_at, _ = availability(known, now)
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
