"""What a draft would have changed: the leads of a time span, qualified by it and by what is in force, side by side."""

import asyncio
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any, Final
from uuid import UUID

from backbone.database import Database
from backbone.weeks import Zone
from qualification import rescoring, scoring, store, store_reports
from qualification.domain import Stage
from qualification.rules import Action, Definition, Engagement
from qualification.store import Row
from qualification.store_definitions import Compiled

BATCH: Final = 50
MOST_LEADS: Final = 50_000
LISTED: Final = 500


@dataclass(slots=True)
class Comparison:
    """What is counted while leads go by."""

    zone: Zone
    """Where weeks are counted."""
    leads: int = 0
    complete: bool = True
    now: Counter[date] = field(default_factory=Counter)
    draft: Counter[date] = field(default_factory=Counter)
    matrix: Counter[str] = field(default_factory=Counter)
    entering: list[str] = field(default_factory=list)
    leaving: list[str] = field(default_factory=list)
    won_missed: list[str] = field(default_factory=list)
    lost_spared: list[str] = field(default_factory=list)

    def add(self, row: Row, before: datetime | None, after: datetime | None, grade: str | None) -> None:
        """Count a lead that became an MQL at `before` as it is, and at `after` with the draft."""
        self.leads += 1
        if grade is not None:
            self.matrix[grade] += 1
        if before is not None:
            self.now[self._week(before)] += 1
        if after is not None:
            self.draft[self._week(after)] += 1
        lead_id = str(row.lead_id)
        if after is not None and before is None:
            self.entering.append(lead_id)
        if before is not None and after is None:
            self.leaving.append(lead_id)
        if after is None and (row.ended == "won" or row.state.stage is Stage.CUSTOMER):
            self.won_missed.append(lead_id)
        if after is None and before is not None and _was_lost(row):
            self.lost_spared.append(lead_id)

    def _week(self, at: datetime) -> date:
        return self.zone.week(self.zone.day(at))

    def report(self, *, reps: int) -> dict[str, Any]:
        """Return the report of the public interface."""
        weeks = sorted(self.now | self.draft)
        lists = {"entering": self.entering, "leaving": self.leaving}
        lists |= {"won_missed": self.won_missed, "lost_spared": self.lost_spared}
        return {
            "leads": self.leads,
            "weeks": [
                {"week": one.isoformat(), "mql_now": self.now[one], "mql_draft": self.draft[one]} for one in weeks
            ],
            **{name: len(found) for name, found in lists.items()},
            **{f"{name}_leads": found[:LISTED] for name, found in lists.items()},
            "matrix": dict(sorted(self.matrix.items())),
            "per_rep_week": sum(self.draft.values()) / len(weeks) / reps if weeks and reps else None,
            "complete": self.complete,
        }


def _was_lost(row: Row) -> bool:
    return row.ended == "lost" or (row.state.stage is Stage.DISQUALIFIED and row.state.decided_by_person)


async def compare(
    db: Database, compiled: Compiled, draft: Definition, start: datetime, end: datetime, *, most: int
) -> dict[str, Any]:
    """Run a draft over the leads that were created in [start, end)."""
    after = UUID(int=0)
    async with db.reading() as conn:
        comparison = Comparison(await store_reports.zone(conn))
        in_force = await compiled.active(conn)
        reps = await store_reports.reps(conn)
    while True:
        async with db.reading() as conn:
            lead_ids = await store_reports.created(conn, start, end, after=after, limit=BATCH)
            rows = await store.load(conn, lead_ids)
            did = await store.engagements(conn, lead_ids, most=most)
        if not lead_ids:
            break
        for lead_id in lead_ids:
            row = rows[lead_id]
            await asyncio.sleep(0)  # everybody else's turn
            before, _ = _replay(in_force, row, did[lead_id], end)
            comparison.add(row, before, *_replay([draft], row, did[lead_id], end))
        after = lead_ids[-1]
        if comparison.leads >= MOST_LEADS:
            comparison.complete = False
            break
    return comparison.report(reps=reps)


def _replay(
    definitions: Sequence[Definition], row: Row, did: Sequence[Engagement], end: datetime
) -> tuple[datetime | None, str | None]:
    """Return when the lead becomes an MQL, if ever, and the grade that it ends with."""
    assert row.occurred_at is not None
    definition, held = rescoring.evaluate(definitions, row, did)
    if definition is None or held is None:
        return None, None
    first = None
    instants = sorted({row.occurred_at, *(at for ats in (*held.hits, held.signals) for at in ats)})
    for at in (one for one in instants if one <= end):
        score = scoring.score(definition, held.until(at), at)
        if score.action is Action.PASS and not score.missing:
            first = max(at, row.occurred_at)
            break
    return first, scoring.score(definition, held.until(end), end).grade
