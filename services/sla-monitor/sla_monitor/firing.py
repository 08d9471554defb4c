"""Alerts leave at their instant, once per step: whoever raises the step, tells it, in one transaction.

Every instance looks for the next instant and sleeps until then. The update that raises `step` holds only for the step,
the version and the instant that were read, so of two that fire the same step one finds nothing.
"""

import asyncio
from collections.abc import Sequence
from typing import Any, Final
from uuid import UUID

import structlog

from backbone import database, streams, subjects, times
from backbone.consumer import Consumer
from backbone.database import Connection, Database
from backbone.outbox import Outbox
from sla_monitor import clocks, events, store
from sla_monitor.domain import Level, State
from sla_monitor.store import Clock

FIRED_AT_ONCE: Final = 500
LONGEST_SLEEP_S: Final = 0.25
SHORTEST_SLEEP_S: Final = 0.01
LATE_S: Final = 1.0

log = structlog.get_logger()


class Firing:
    """Fires for ever, once the backlog of facts has been read."""

    def __init__(self, db: Database, outbox: Outbox, consumer: Consumer, *, catch_up_s: float) -> None:
        self._db = db
        self._outbox = outbox
        self._consumer = consumer
        self._catch_up_s = catch_up_s

    async def run(self) -> None:
        """Wait for the backlog, then fire what falls due."""
        await self._catch_up()
        while True:
            try:
                fired, left = await self._db.run(self._fire)
            except Exception as error:
                if not database.is_transient(error):
                    raise
                fired, left = 0, LONGEST_SLEEP_S
            if not fired:
                await asyncio.sleep(max(SHORTEST_SLEEP_S, min(left, LONGEST_SLEEP_S)))

    async def _catch_up(self) -> None:
        """Read what had happened before we started: a touch that waits in Kafka must not be a breach."""
        try:
            await asyncio.wait_for(self._consumer.caught_up(), self._catch_up_s)
        except TimeoutError:
            log.warning("the backlog was not read in time; alerts go out now", after_seconds=self._catch_up_s)

    async def _fire(self, conn: Connection) -> tuple[int, float]:
        now = await times.now(conn)
        due = await conn.fetch(
            "SELECT lead_id, next_at FROM clock WHERE next_at IS NOT NULL ORDER BY next_at LIMIT $1", FIRED_AT_ONCE
        )
        wanted = {row["lead_id"] for row in due if row["next_at"] <= now}
        if not wanted:
            left = (due[0]["next_at"] - now).total_seconds() if due else LONGEST_SLEEP_S
            return 0, left
        # Whoever holds one of these leads is changing its clocks; they are looked at again at once.
        free = await subjects.try_lock(conn, wanted)
        if not free:
            return 0, SHORTEST_SLEEP_S
        rows = await conn.fetch(
            "SELECT * FROM clock WHERE lead_id = ANY($1::uuid[]) AND next_at <= $2 ORDER BY next_at, lead_id",
            list(free),
            now,
        )
        fired = [self._step(store.clock_of(row), now) for row in rows]
        await self._write(conn, fired, now)
        return len(fired), 0.0

    def _step(self, clock: Clock, now: Any) -> tuple[Clock, dict[str, Any], tuple[int, int]]:
        before = (clock.step, clock.version)
        said = clock.steps[clock.step]
        due_at = times.parse(said["at"])
        alert = {
            "alert_id": clocks.alert_id(clock, said["level"], clock.step),
            "at": now,
            "level": said["level"],
            "step": clock.step,
            "goes_to": said["to"],
            "late_by_seconds": (now - due_at).total_seconds(),
            "late": (now - due_at).total_seconds() > LATE_S,
        }
        if said["level"] == Level.BREACH:
            clock.state, clock.breached_at = State.BREACHED, now
        clock.step += 1
        clock.next_at = clocks.step_at(clock, clock.step)
        clock.version += 1
        return clock, alert, before

    async def _write(
        self, conn: Connection, fired: Sequence[tuple[Clock, dict[str, Any], tuple[int, int]]], now: Any
    ) -> None:
        raised = await conn.fetch(
            "UPDATE clock c SET step = v.step + 1, version = v.version + 1, state = v.state,"
            " breached_at = v.breached_at, next_at = v.next_at"
            " FROM unnest($1::uuid[], $2::text[], $3::int[], $4::int[], $5::bigint[], $6::text[], $7::timestamptz[],"
            " $8::timestamptz[]) AS v(lead_id, clock, cycle, step, version, state, breached_at, next_at)"
            " WHERE c.lead_id = v.lead_id AND c.clock = v.clock AND c.cycle = v.cycle AND c.step = v.step"
            " AND c.version = v.version AND c.next_at <= $9 RETURNING c.lead_id, c.clock, c.cycle",
            [clock.lead_id for clock, _, _ in fired],
            [clock.clock for clock, _, _ in fired],
            [clock.cycle for clock, _, _ in fired],
            [before[0] for _, _, before in fired],
            [before[1] for _, _, before in fired],
            [str(clock.state) for clock, _, _ in fired],
            [clock.breached_at for clock, _, _ in fired],
            [clock.next_at for clock, _, _ in fired],
            now,
        )
        won = {(row[0], row[1], row[2]) for row in raised}
        mine = [(clock, alert) for clock, alert, _ in fired if (clock.lead_id, clock.clock, clock.cycle) in won]
        if not mine:
            return
        leads = await store.load(conn, {clock.lead_id for clock, _ in mine})
        await self._outbox.add(conn, [events.alert(leads[clock.lead_id], clock, alert) for clock, alert in mine])
        await _keep(conn, mine)


async def _keep(conn: Connection, mine: Sequence[tuple[Clock, dict[str, Any]]]) -> None:
    seq = await streams.take(conn, "alerts", len(mine))
    ids: list[UUID] = [alert["alert_id"] for _, alert in mine]
    await conn.execute(
        "INSERT INTO alert (alert_id, seq, at, lead_id, clock, kind, cycle, level, step, rep_id, due_at,"
        " late_by_seconds, late, goes_to)"
        " SELECT * FROM unnest($1::uuid[], $2::bigint[], $3::timestamptz[], $4::uuid[], $5::text[], $6::text[],"
        " $7::int[], $8::text[], $9::int[], $10::text[], $11::timestamptz[], $12::float8[], $13::boolean[],"
        " $14::text[])",
        ids,
        list(range(seq, seq + len(mine))),
        [alert["at"] for _, alert in mine],
        [clock.lead_id for clock, _ in mine],
        [clock.clock for clock, _ in mine],
        [clock.terms.kind for clock, _ in mine],
        [clock.cycle for clock, _ in mine],
        [alert["level"] for _, alert in mine],
        [alert["step"] for _, alert in mine],
        [clock.terms.rep_id for clock, _ in mine],
        [clock.terms.due_at for clock, _ in mine],
        [alert["late_by_seconds"] for _, alert in mine],
        [alert["late"] for _, alert in mine],
        [alert["goes_to"] for _, alert in mine],
    )
