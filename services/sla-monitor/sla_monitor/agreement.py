"""SLA policies, compiled: who promises what to which leads, and what follows when that is not kept."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from handoff.events.v1 import common_pb2
from sla_monitor.domain import LAST_TOUCH, NEXT_AT, NEXT_STEP, OF_ASSIGNMENTS, STATUS_UPDATE, Counts, Terms

Holds = Callable[[Mapping[str, Any]], bool]


@dataclass(frozen=True, kw_only=True, slots=True)
class Spec:
    """One line of a policy: a promise."""

    clock: str
    kind: str
    within_seconds: float
    source: str
    hours: str
    warn_seconds: Sequence[float] = ()
    """Before the deadline, on the clock's own hours, as seconds from its start."""
    needs: Mapping[str, int] = field(default_factory=dict)
    spread_seconds: float = 0
    ends_when: Sequence[str] = ()

    @property
    def moves(self) -> bool:
        """Say whether its window begins anew with each touch."""
        return self.source == LAST_TOUCH

    @property
    def has_rounds(self) -> bool:
        """Say whether what meets it begins another clock of its name within the assignment."""
        return self.source == NEXT_AT or (self.kind == STATUS_UPDATE and self.source in OF_ASSIGNMENTS)


AS_PROMISED: Final = Spec(clock=NEXT_STEP, kind=NEXT_STEP, within_seconds=0, source=NEXT_AT, hours="wall")
"""The next step is due when its rep said: every policy has this line that has none of the kind."""


ESCALATED_TO: Final = ("rep", "manager", "reassign", "pause")
"""In the order in which things are done that are for the same instant."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Escalation:
    """What happens a while after a breach of a kind of clock, or of the one clock with that name."""

    kind: str
    after_seconds: float
    to: str
    times: int = 1
    """How often at most a lead is taken away for it, over all its cycles: never in a loop."""
    clock: str = ""

    def is_of(self, spec: Spec) -> bool:
        """Say whether it follows a clock."""
        return self.kind == spec.kind and self.clock in ("", spec.clock)


@dataclass(frozen=True, kw_only=True, slots=True)
class Quiet:
    """When nobody is warned and nothing escalated: minutes of the day in a zone.

    Where it names none, in the rep's own; for clocks of the lead's own, which go on whoever has it, in the company's.
    """

    start: int
    end: int
    zone: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Policy:
    """An SLA policy, compiled."""

    name: str
    version: int
    order: int
    applies: Holds
    clocks: Sequence[Spec]
    counts: Counts
    escalations: Sequence[Escalation]
    for_all: bool = False
    """It applies to every lead, whatever the lead's fields say."""
    booking_counts: bool = False
    quiet: Quiet | None = None

    @property
    def reference(self) -> str:
        """Return what clocks cite."""
        return f"{self.name}@{self.version}"

    def spec(self, clock: str) -> Spec | None:
        """Return the line with this name."""
        return next((one for one in self.clocks if one.clock == clock), None)


NO_POLICY: Final = Policy(
    name="none", version=0, order=0, applies=lambda _: True, clocks=(AS_PROMISED,), counts=Counts(), escalations=()
)
"""By which the clocks of a live lead run to which no policy applies."""


def applicable(policies: Sequence[Policy], lead: Mapping[str, Any]) -> Policy | None:
    """Return the policy with the lowest order that applies; never the first by name."""
    return next((one for one in sorted(policies, key=lambda p: (p.order, p.name)) if one.applies(lead)), None)


def terms(policy: Policy, spec: Spec, rep: common_pb2.Rep, started_at: datetime, due_at: datetime) -> Terms:
    """Return what is agreed of a clock that starts and is due at these instants."""
    return Terms(
        kind=spec.kind,
        source=spec.source,
        rep_id=rep.rep_id,
        started_at=started_at,
        due_at=due_at,
        counts=policy.counts,
        needs=spec.needs,
        spread_seconds=spec.spread_seconds,
        team=rep.team,
        within_seconds=spec.within_seconds,
        booking_counts=policy.booking_counts,
        ends_when=spec.ends_when,
    )
