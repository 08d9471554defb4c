"""Reps, leads and decisions as values, and the pure choice of a rep."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, Final, NamedTuple
from uuid import UUID

from routing.narrowing import Holds, Narrowing, PerLead, Target

MOST_CONSIDERED: Final = 20
NAMED: Final = ("owner", "account_rep", "previous", "host")
"""Targets that are one rep of the lead's, not a pool."""
GRADES: Final = {grade: rank for rank, grade in enumerate(("A1", "A2", "B1", "A3", "B2", "C1", "B3", "C2", "C3"), 1)}
WORST_RANK: Final = len(GRADES) + 1

ACTIVE_REP: Final = "account.active_rep"
"""Who already works a colleague."""
OPEN_DEALS: Final = "account.open_opportunities"

SALES: Final = "sales"
SDR: Final = "sdr"
ROLES: Final = {"srl": SALES, "sql": SALES}
"""Whose work a lead is at a stage; an SDR's at every other."""


class Outcome(StrEnum):
    """What a decision came to."""

    ASSIGNED = "assigned"
    WAITING = "waiting"
    TAKEN_OVER = "taken_over"


class Why(StrEnum):
    """Why a lead waits."""

    NO_CAPACITY = "no_capacity"
    NOBODY_WORKING = "nobody_working"
    NO_MATCH = "no_match"
    PAUSED = "paused"
    NO_RULE = "no_rule"


class WhyNot(StrEnum):
    """Why a rep was, or was not, chosen."""

    CHOSEN = "chosen"
    MORE_LOAD = "more_load"
    NOT_THEIR_TURN = "not_their_turn"
    AT_CAP = "at_cap"
    UNTOUCHED_CAP = "untouched_cap"
    OFF_HOURS = "off_hours"
    ON_LEAVE = "on_leave"
    PAUSED = "paused"
    INACTIVE = "inactive"
    NO_MATCH = "no_match"
    DECLINED_BEFORE = "declined_before"


class Strategy(StrEnum):
    """How a pool picks."""

    WEIGHTED_ROUND_ROBIN = "weighted_round_robin"
    LEAST_LOADED = "least_loaded"
    PERFORMANCE_WEIGHTED = "performance_weighted"
    """Weighted round robin in which a rep's weight is multiplied by how their leads ended."""


class Turn(NamedTuple):
    """A rep's place in a round, in the round's own time: one lead takes 1 / weight of it.

    A least-loaded pool's time is the number of leads that it gave.
    """

    next: float
    """When the rep's next turn begins."""
    clock: float
    """What the round's clock showed when this was noted."""
    weight: int = 0
    """What the rep weighed then, in millionths; 0: what they weigh now."""
    left: float | None = None
    """What the round's clock showed when the rep went, or was full; None while they can take leads."""


@dataclass(slots=True)
class Rep:
    """A rep while decisions are made: what does not change in a batch, and the counts that do."""

    rep_id: str
    role: str
    cap: int
    weight: float
    values: Mapping[str, Any]
    """What conditions read of the rep."""
    away: WhyNot | None
    """Why nothing goes to them now, None while they are at work."""
    back_at: datetime | None
    open: int
    untouched: int
    turns: dict[str, Turn]
    """By round: a pool's, or that of a narrowed one."""
    last_assigned_at: datetime | None
    by_pool: dict[str, int] = field(default_factory=dict)
    """Open assignments from each pool."""
    share: float = 1.0
    """Of the weight and of the cap that counts for load: less than 1 while a newcomer is not up to speed."""
    performance: float = 1.0
    """How the rep's leads ended beside those of the same role, from 0.5 to 2."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Pool:
    """Reps that share work."""

    pool: str
    strategy: Strategy
    members: Sequence[str]
    cap: int | None = None
    untouched_cap: int | None = None
    fallback: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Rule:
    """Who gets what holds. `to` is a pool, or owner, previous or paired."""

    rule: str
    to: str
    holds: Holds
    narrows: Narrowing | PerLead | None = None
    """Which reps of the pool; all when not said."""
    otherwise: str | None = None
    fallback: str | None = None
    after_seconds: float = 0
    in_pool_hours: bool = False
    """`after_seconds` runs only while somebody of the pool works."""
    within_seconds: float | None = None
    wait: bool = False
    is_one_of_two: bool = False
    """Whoever finds no room by it may find it by the rules after it."""

    def narrowing(self, values: Mapping[str, Any]) -> Narrowing | None:
        """Return which reps of the pool it takes for a lead with these values."""
        return self.narrows.of(self.narrows.about(values)) if isinstance(self.narrows, PerLead) else self.narrows

    def narrowing_of(self, target: Target) -> Narrowing | None:
        """Return which reps it takes for a lead that waits for this."""
        return self.narrows.of(target.about) if isinstance(self.narrows, PerLead) else self.narrows

    def target(self, pool: str, values: Mapping[str, Any], rep_id: str = "") -> Target:
        """Return what a lead with these values waits for in a pool, or with one rep."""
        made = Target(self.rule, pool, rep_id)
        if not isinstance(self.narrows, PerLead):
            return made
        about = self.narrows.about(values)
        return made._replace(of=self.narrows.of(about).of, about=about)

    def is_passed_by(self, left: Collection[WhyNot]) -> bool:
        """Say whether the next rule is gone on to when nobody of this one has room.

        `left`: why not, of those to whom the lead may still go. A named rep who left, or refused it, is not waited for.
        """
        is_awaited = self.wait and any(why is not WhyNot.INACTIVE for why in left)
        return self.is_one_of_two or (self.to in NAMED and not is_awaited)


@dataclass(frozen=True, kw_only=True, slots=True)
class Policy:
    """An ordered policy, compiled, with the members of its pools as of now."""

    version: int
    pools: Mapping[str, Pool]
    rules: Sequence[Rule]
    pairs: Mapping[str, Sequence[str]]
    accept_within_seconds: float | None = None
    margin_seconds: float = 0
    """Nothing is given in the last so many seconds of a rep's day."""
    ramp_days: int = 0
    ramp_start: float = 1.0
    """The share with which a newcomer begins; it grows to 1 over `ramp_days`."""
    reads: frozenset[str] = frozenset()
    """Of ACTIVE_REP and OPEN_DEALS, what it reads: nothing else of these is looked up for its decisions."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Lead:
    """What a decision reads of a lead."""

    lead_id: UUID
    values: Mapping[str, Any]
    rank: int
    created_at: datetime
    waiting_since: datetime | None = None
    owner_rep: str | None = None
    previous_rep: str | None = None
    previous_at: datetime | None = None
    sdr_id: str | None = None
    account_rep: str | None = None
    """Who already works a colleague."""
    host_rep: str | None = None
    """Who hosts the meeting that the lead booked."""
    only_pool: str | None = None
    """A person's word that it goes to this pool, whatever the rules say."""
    by_rules_too: bool = False
    """It was made ready for sales, and waits for them beside the pool that a person named."""
    declined: frozenset[str] = frozenset()
    touched: bool = False


class Considered(NamedTuple):
    """What was thought of a rep."""

    rep_id: str
    chosen: bool
    reason: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Decision:
    """Who gets the lead, or why it waits, and until when at least."""

    outcome: Outcome
    rule: str
    pool: str
    strategy: str
    rep_id: str | None
    reason_code: str
    considered: Sequence[Considered]
    retry_at: datetime | None = None
    targets: Sequence[Target] = ()
    """Of a lead that waits: where room would let it in."""
    over_cap: bool = False
    """Its rep has more than the cap by it; only one that names its rep may do so."""


def by_name(rep_id: str, *, outcome: Outcome, rule: str, pool: str, over_cap: bool) -> Decision:
    """Return the decision that a rep who is named gets the lead: nobody else was asked, so it has no strategy."""
    return Decision(
        outcome=outcome,
        rule=rule,
        pool=pool,
        strategy="",
        rep_id=rep_id,
        reason_code="",
        considered=(Considered(rep_id, True, str(WhyNot.CHOSEN)),),
        over_cap=over_cap,
    )


def role_at(stage: str) -> str:
    """Return whose work a lead is."""
    return ROLES.get(stage, SDR)


def who_may_have(rep_id: str | None, roles: Mapping[str, str], *, role: str) -> str | None:
    """Return the rep whom an account or a meeting names, None where it is sales' work and they are an SDR."""
    return rep_id if rep_id and not (role == SALES and roles.get(rep_id) == SDR) else None
