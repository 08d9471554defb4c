"""The leads of one transaction: loaded once, moved in memory, then written and announced together."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any
from uuid import UUID

from backbone import lead_values
from backbone.database import Connection
from backbone.outbox import Event, Outbox
from handoff.events.v1 import common_pb2
from qualification import domain, events, scoring, store
from qualification.domain import Stage
from qualification.rules import Definition
from qualification.store import Move, Row
from qualification.store_definitions import Compiled

Tell = Callable[[Row, common_pb2.Qualification], Event | None]


@dataclass(frozen=True, kw_only=True, slots=True)
class Why:
    """Why a lead moves: a reason code, the words where somebody typed some, and who decided if a person did."""

    code: str = ""
    words: str | None = None
    by: str | None = None


NO_REASON = Why()


@dataclass(slots=True)
class Desk:
    """Leads of one transaction, with what is to be told of them."""

    now: datetime
    definitions: Sequence[Definition]
    rows: dict[UUID, Row]
    changed: set[UUID] = field(default_factory=set)
    news: dict[UUID, set[str]] = field(default_factory=dict)
    """Leads to score anew, with the kinds of what they did; "" where they told more of themselves."""
    standings: dict[UUID, tuple[common_pb2.Standing, Why]] = field(default_factory=dict)
    """How leads stand in the system that they come from, and why."""
    woken: set[UUID] = field(default_factory=set)
    """Leads that were history until now."""
    moves: list[Move] = field(default_factory=list)
    outgoing: list[Event] = field(default_factory=list)

    def definition_of(self, row: Row) -> Definition | None:
        """Return the definition that applies to a lead."""
        if row.fields is None:
            return None
        return scoring.applicable(self.definitions, lead_values.of(row.fields, row.score, live=row.live))

    def check_accept(self, row: Row) -> None:
        """Refuse to make a lead an SRL that is none by its definition; `domain.Refused` says why."""
        definition = self.definition_of(row)
        asks = definition.srl if definition is not None else {}
        domain.check_accept(row.state, asks, in_review=row.review_since is not None)

    def score_anew(self, lead_id: UUID, kind: str | None = None) -> None:
        """Note that a lead has to be scored, and what it did."""
        kinds = self.news.setdefault(lead_id, set())
        if kind is not None:
            kinds.add(kind)

    def move(
        self,
        row: Row,
        stage: Stage,
        *,
        why: Why = NO_REASON,
        by_person: bool = False,
        definition: str | None = None,
        tell: Tell | None = None,
        **changes: Any,
    ) -> None:
        """Move a lead to a stage, keep why, and tell it."""
        before = row.state.stage
        row.state = replace(
            row.state,
            stage=stage,
            reason=why.code,
            decided_by_person=by_person,
            definition=definition if definition is not None else self._decided_under(row),
            **changes,
        )
        if stage is not before:
            row.stage_since = self.now
        if stage is not Stage.NURTURE or by_person:
            row.review_since = None
        if stage in domain.BEYOND_SCORING or by_person:
            row.next_score_at = row.state.recycled_until
        if by_person:
            row.hot_action = ""
        row.score = events.restage(row, str(before))
        self.changed.add(row.lead_id)
        self.note_place(row, decided=by_person and why.by is not None)
        self.moves.append(
            Move(
                lead_id=row.lead_id,
                at=self.now,
                before=before,
                after=stage,
                definition=row.state.definition,
                reason=why.code,
                words=why.words,
                decided_by=why.by,
            )
        )
        self.tell(tell(row, row.score) if tell is not None else None)

    def _decided_under(self, row: Row) -> str:
        """Return the definition of a move that no other system asked for: what was taken over from one is over."""
        if row.state.definition != domain.IMPORTED:
            return row.state.definition
        found = self.definition_of(row)
        return found.reference if found is not None else domain.NO_DEFINITION

    def note_place(self, row: Row, *, decided: bool = False) -> None:
        """Tell that a lead left its place in the review queue, or came into it by its score.

        At once, not when all is done: one that leaves and comes again is told of in that order. An MQL whose BANT is
        open says so in the event that makes it one. Whoever reads that a lead was merged knows that nobody waits for
        it: its end would be read as the survivor's.
        """
        before, (after, _) = row.queue, row.place_in_queue()
        row.queue = after
        if before is not None and before != after and not row.closed:
            self.tell(events.review_ended(row, self.now, queue=before, decided=decided))
        if after == "review" and before != after:
            self.tell(events.review_queued(row, self.now))

    def tell(self, event: Event | None) -> None:
        """Announce something with the rest."""
        if event is not None:
            self.outgoing.append(event)

    async def finish(self, conn: Connection, outbox: Outbox) -> None:
        """Write what changed and announce it."""
        for lead_id in sorted(self.changed):
            self.note_place(self.rows[lead_id])
        if self.changed:
            await store.save(conn, [self.rows[lead_id] for lead_id in sorted(self.changed)])
        if self.moves:
            await store.add_history(conn, self.moves)
        await outbox.add(conn, self.outgoing)


async def open_desk(conn: Connection, compiled: Compiled, lead_ids: Iterable[UUID]) -> Desk:
    """Load leads whose subjects are locked, with the definitions in force."""
    now, definitions = await compiled.now(conn)
    return Desk(now=now, definitions=definitions, rows=await store.load(conn, lead_ids))
