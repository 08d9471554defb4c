"""The group as it was: reps by their versions, counts by their log, decision by decision."""

import asyncio
import time
from collections.abc import AsyncIterator, Mapping
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from backbone.database import Connection
from routing import index, policies, reps, store_group
from routing.domain import Policy
from routing.reps import Known
from routing.store_group import Group

PAGE: Final = 1000
"""Rows that are read at once."""
AT_A_STRETCH_S: Final = 0.02
"""After so long other work of the process gets its turn."""

AS_IT_WAS: Final = """
SELECT DISTINCT ON (v.rep_id) v.*, coalesce(c.open, 0) AS open, coalesce(c.untouched, 0) AS untouched,
       coalesce(c.by_pool, '{}') AS by_pool, coalesce(c.turns, '{}') AS turns, c.last_assigned_at
FROM rep_version v LEFT JOIN LATERAL (
    SELECT * FROM rep_count c WHERE c.rep_id = v.rep_id AND (c.sequence, c.ordinal) < ($1, $2)
    ORDER BY c.sequence DESC, c.ordinal DESC LIMIT 1
) c ON true
WHERE v.sequence < $1 ORDER BY v.rep_id, v.sequence DESC
"""


def group_of(rows: list[Any], policy: tuple[int, Mapping[str, Any]] | None, year: int) -> Group:
    """Return a group of rows with reps' versions and counts, under a policy's version and document.

    `year`: of the decision, whose holidays it saw.
    """
    known = {row["rep_id"]: _known(row, year) for row in rows}
    found = {row["rep_id"]: reps.rep_of(row) for row in rows}
    for row in rows:
        found[row["rep_id"]].by_pool = dict(row["by_pool"])
    compiled: Policy | None = None
    if policy is not None:
        compiled = policies.build(*policy, {rep_id: rep.values for rep_id, rep in found.items()})
    return store_group.made(known, found, compiled, year)


def _known(row: Any, year: int) -> Known:
    return reps.known_of(row, [(instant(start), instant(end)) for start, end in row["time_off"]["spans"]], year)


def instant(text: str) -> datetime:
    """Return an instant as it was kept."""
    return datetime.fromisoformat(text)


async def policy_of(conn: Connection, version: int) -> tuple[int, Mapping[str, Any]] | None:
    """Return a policy's version and document, None where there was none."""
    document = await conn.fetchval("SELECT document FROM policy WHERE version = $1", version)
    return (version, document) if document is not None else None


_WAITED: Final = """
SELECT d.* FROM (
    SELECT DISTINCT ON (lead_id) * FROM decision WHERE at < $1 AND outcome = 'waiting' AND inputs IS NOT NULL
    ORDER BY lead_id, cycle DESC, sequence DESC, ordinal DESC
) d LEFT JOIN waiting w USING (lead_id) LEFT JOIN LATERAL (
    SELECT a.at FROM decision a
    WHERE a.lead_id = d.lead_id AND a.cycle = d.cycle AND a.outcome <> 'waiting' LIMIT 1
) given ON true
WHERE given.at >= $1 OR (given.at IS NULL AND w.since < $1)
"""


async def waited(conn: Connection, at: datetime) -> list[Any]:
    """Return the decisions by which leads waited at an instant that found a rep later, or wait still."""
    rows: list[Any] = await conn.fetch(_WAITED, at)
    return rows


class Past:
    """The group while decisions of a span of time are gone through in their order."""

    def __init__(self, conn: Connection, *, policy: tuple[int, Mapping[str, Any]] | None = None) -> None:
        self._conn = conn
        self._fixed = policy
        """Under which policy all is seen, with counts that are the caller's from the beginning on; None: as it was."""
        self._versions: list[Any] = []
        self._counts: list[Any] = []
        self._read_to = (0, 0)
        self._policies: dict[int, tuple[int, Mapping[str, Any]] | None] = {}
        self._rows: dict[str, dict[str, Any]] = {}
        self._version = 0
        self._sequence = 0
        self.group: Group | None = None

    async def decisions(self, since: datetime, until: datetime) -> AsyncIterator[Any]:
        """Yield the decisions of [since, until) in order, each with `group` as it found it.

        Those that were not computed, such as a person's, or whose lead was erased, come along where nothing else tells
        the caller of the load that they made.
        """
        last: tuple[int, int, UUID] = (0, -1, UUID(int=0))
        began = time.monotonic()
        while True:
            rows = await self._conn.fetch(
                "SELECT * FROM decision WHERE at >= $1 AND at < $2"
                " AND (inputs IS NOT NULL OR ($7 AND outcome <> 'waiting'))"
                " AND (sequence, ordinal, decision_id) > ($3, $4, $5) ORDER BY sequence, ordinal, decision_id LIMIT $6",
                since,
                until,
                *last,
                PAGE,
                self._fixed is not None,
            )
            for row in rows:
                await self._go_to(row)
                yield row
                if time.monotonic() - began > AT_A_STRETCH_S:
                    await asyncio.sleep(0)
                    began = time.monotonic()
            if len(rows) < PAGE:
                return
            last = (rows[-1]["sequence"], rows[-1]["ordinal"], rows[-1]["decision_id"])

    async def _go_to(self, row: Any) -> None:
        place = (row["sequence"], row["ordinal"])
        if not self._rows:
            await self._begin(row["sequence"])
        changed = self._take_versions(row["sequence"])
        if self._fixed is not None:
            if changed:
                self._keep_counts()
        else:
            changed = changed or row["policy_version"] != self._version
            self._version = row["policy_version"]
            await self._take_counts(place)
        year = row["at"].year
        if self.group is not None and self.group.year != year and self._fixed is not None:
            self._keep_counts()
        if changed or self.group is None or self.group.year != year:
            self.group = group_of(list(self._rows.values()), await self._policy(), year)
        if row["sequence"] != self._sequence:
            # Within a transaction the order tells who waited longest.
            self._sequence = row["sequence"]
            self.group.index.begin()
        store_group.set_availability(self.group, row["at"])

    async def _policy(self) -> tuple[int, Mapping[str, Any]] | None:
        if self._fixed is not None:
            return self._fixed
        if self._version not in self._policies:
            self._policies[self._version] = await policy_of(self._conn, self._version)
        return self._policies[self._version]

    async def _begin(self, sequence: int) -> None:
        """Begin with the group as the transaction of this sequence found it."""
        self._rows = {row["rep_id"]: dict(row) for row in await self._conn.fetch(AS_IT_WAS, sequence, 0)}
        self._versions = await self._conn.fetch(
            "SELECT * FROM rep_version WHERE sequence >= $1 ORDER BY sequence, rep_id", sequence
        )
        self._versions.reverse()
        self._read_to = (sequence, -1)

    def _take_versions(self, before: int) -> bool:
        changed = False
        while self._versions and self._versions[-1]["sequence"] < before:
            version = dict(self._versions.pop())
            blank = {"open": 0, "untouched": 0, "by_pool": {}, "turns": {}, "last_assigned_at": None}
            self._rows[version["rep_id"]] = {**blank, **self._rows.get(version["rep_id"], {}), **version}
            changed = True
        return changed

    def _keep_counts(self) -> None:
        """Let counts that the caller changed outlive a new version of a rep."""
        for rep in self.group.index.reps.values() if self.group is not None else ():
            self._rows[rep.rep_id].update(index.counts(rep)._asdict())

    async def _take_counts(self, before: tuple[int, int]) -> None:
        """Take in the log up to a place; it is read ahead, a page at a time."""
        while True:
            while self._counts and (self._counts[-1]["sequence"], self._counts[-1]["ordinal"]) < before:
                self._take_count(self._counts.pop())
            if self._counts or self._read_to >= before:
                return
            page = await self._conn.fetch(
                "SELECT * FROM rep_count WHERE (sequence, ordinal) > ($1, $2) ORDER BY sequence, ordinal LIMIT $3",
                *self._read_to,
                PAGE,
            )
            if not page:
                return
            self._counts = page[::-1]
            self._read_to = (page[-1]["sequence"], page[-1]["ordinal"])

    def _take_count(self, count: Any) -> None:
        row = self._rows.get(count["rep_id"])
        if row is None:
            return
        row.update({name: count[name] for name in ("open", "untouched", "by_pool", "turns", "last_assigned_at")})
        if self.group is not None:
            reps.count(self.group.index, count)
