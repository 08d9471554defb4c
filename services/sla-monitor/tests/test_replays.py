"""Logs of real desks, replayed: reports and clocks equal the truth beside them, in order, shuffled, doubled."""

import csv
import gzip
import json
import random
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from backbone import ids, times
from backbone.database import Database
from sla_monitor import reports
from tests import telling
from tests.monitor import Monitor, read_in
from tests.telling import Told, captured, released, rep, routed, touch

DATA = Path(__file__).parents[4] / "shared" / "data"
AT_ONCE = 250
"""The database ends a transaction that stands idle for three seconds; on a busy machine a thousand events take that."""
EVER = (datetime(2009, 1, 1, tzinfo=UTC), datetime(2020, 1, 1, tzinfo=UTC))
WAYS = pytest.mark.parametrize(
    ("shuffle", "twice"), [(False, 0), (True, 0.05)], ids=["in order", "shuffled and doubled"]
)
ACKNOWLEDGED = """
clocks:
  - {kind: first_response_5m,  within: 5m,  from: assignment}
  - {kind: first_response_30m, within: 30m, from: assignment}
  - {clock: by anyone in 5m,  kind: first_response_1d, within: 5m,  from: arrival}
  - {clock: by anyone in 30m, kind: first_response_1d, within: 30m, from: arrival}
"""
pytestmark = [
    pytest.mark.skipif(not DATA.is_dir(), reason="the real data is not beside the project"),
    pytest.mark.timeout(240),
]


def rows_of(name: str) -> list[dict[str, str]]:
    with gzip.open(DATA / name, "rt") as file:
        return list(csv.DictReader(file))


def truth_of(name: str) -> Any:
    return json.loads((DATA / name).read_text())


async def replay(monitor: Monitor, told: dict[str, list[Told]], *, shuffle: bool, twice: float, live: bool) -> None:
    """Read a log as it happened, or within ten minutes of it in any order and some of it twice."""
    chance = random.Random(7)
    if shuffle:
        told = {topic: late(chance, events) if topic == "intake" else events for topic, events in told.items()}
    events = read_in(chance, told)
    events += [event for event in events if chance.random() < twice]
    for start in range(0, len(events), AT_ONCE):
        await monitor.read(events[start : start + AT_ONCE])
        if live:
            await monitor.fire()


def late(chance: random.Random, events: list[Told]) -> list[Told]:
    def came(one: Told) -> float:
        return float(one[1].stamp.occurred_at.ToMilliseconds()) / 1000 + chance.uniform(0, 600)

    return sorted(events, key=came)


def loan_desk() -> Iterator[Told]:
    """Web loan leads of October 2011, and what people did with them."""
    for row in rows_of("bpic_oct2011_events.csv.gz"):
        lead, at = ids.derived("bpic", row["lead_id"]), times.parse(row["at"])
        if row["type"] == "lead.created":
            yield captured(lead, at, live=False)
        elif row["type"].startswith("task.") and row["phase"] == "START" and row["actor"] != "system":
            yield touch(lead, at, rep_id=row["actor"] or "nobody")


@WAYS
async def test_a_loan_desks_speed_equals_its_truth(db: Database, shuffle: bool, twice: float) -> None:
    truth, said = truth_of("bpic_oct2011_truth.json"), truth_of("bpic_oct2011_truth.json")["first_touch"]
    await replay(Monitor(db), {"intake": list(loan_desk())}, shuffle=shuffle, twice=twice, live=False)
    async with db.reading() as conn:
        (group,) = await reports.speed(conn, *EVER, by="none", as_of=telling.now())
        assert await conn.fetchval("SELECT count(*) FROM clock") == 0
    speed = group["from_arrival"]
    assert (speed["leads"], speed["touched"]) == (truth["leads"], said["touched"])
    assert speed["never_touched"] == said["never_touched"]
    assert (speed["within_300_seconds"], speed["within_1800_seconds"]) == (said["le_5min"], said["le_30min"])
    assert speed["p50_seconds"] / 60 == pytest.approx(said["median_min"], abs=1e-4)
    assert speed["p90_seconds"] / 60 == pytest.approx(said["p90_min"], abs=1e-4)


def help_desk() -> dict[str, list[Told]]:
    """Tickets: assigned to somebody, taken in charge by them or, as a hand-over, by somebody else."""
    cases: dict[str, list[dict[str, str]]] = {}
    for row in rows_of("helpdesk_events.csv.gz"):
        cases.setdefault(row["case_id"], []).append(row)
    intake: list[Told] = []
    routing: list[Told] = []
    for case, rows in cases.items():
        lead = ids.derived("helpdesk", case)
        assigned = next((row for row in rows if row["activity"] == "Assign seriousness"), None)
        if assigned is None:
            continue
        at, holder, cycle = times.parse(assigned["timestamp"]), assigned["resource"], 1
        intake.append(captured(lead, at))
        routing.append(routed(lead, at, who=rep(holder)))
        for row in rows:
            taken_at, taker = times.parse(row["timestamp"]), row["resource"]
            if row["activity"] != "Take in charge ticket" or taken_at < at:
                continue
            if taker != holder:
                routing.append(released(lead, taken_at, cycle=cycle, outcome="reassigned", rep_id=holder))
                holder, cycle = taker, cycle + 1
                routing.append(routed(lead, taken_at, cycle=cycle, who=rep(holder)))
            intake.append(touch(lead, taken_at, rep_id=taker))
    return {"intake": intake, "routing": routing}


@WAYS
async def test_a_help_desks_clocks_equal_its_truth_hand_overs_included(
    db: Database, shuffle: bool, twice: float
) -> None:
    truth = truth_of("helpdesk_truth.json")
    anyone = truth["ack (assign->first take in charge), assign<=take"]
    same = truth["ack same person vs different"]["same"]
    monitor = Monitor(db)
    await monitor.put(ACKNOWLEDGED)
    await replay(monitor, help_desk(), shuffle=shuffle, twice=twice, live=True)
    async with db.reading() as conn:
        met = dict(
            await conn.fetch("SELECT clock, count(*) FROM clock WHERE state = 'met' AND cycle <= 1 GROUP BY clock")
        )
        running = await conn.fetchval("SELECT count(*) FROM clock WHERE state = 'running'")
        (group,) = await reports.speed(conn, *EVER, by="none", as_of=telling.now())
    assert running == 0
    assert (met["by anyone in 5m"], met["by anyone in 30m"]) == (anyone["le5"], anyone["le30"])
    assert (met["first_response_5m"], met["first_response_30m"]) == (same["le5"], same["le30"])
    for side, said in ((group["from_arrival"], anyone), (group["from_assignment"], same)):
        assert (side["touched"], side["within_300_seconds"]) == (said["n"], said["le5"])
        assert side["within_1800_seconds"] == said["le30"]
        assert side["p50_seconds"] / 60 == pytest.approx(said["median_min"], abs=1e-4)
        assert side["p90_seconds"] / 60 == pytest.approx(said["p90"], abs=1e-4)
