"""Clocks and the facts that decide them. What facts say of a clock: `verdicts`, and `keeping` for those that move."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Final
from uuid import UUID

FOR_EVER: Final = datetime.max.replace(tzinfo=UTC)
"""Later than anything is known."""

FIRST_RESPONSE: Final = ("first_response_5m", "first_response_30m", "first_response_1d")
MOVING: Final = ("stale", "next_step")
"""Kinds whose window begins anew with each touch, if they run from the last one."""
STATUS_UPDATE: Final = "status_update"
KINDS: Final = (
    *FIRST_RESPONSE,
    *("minimum_touches", "handoff", "acceptance", "review", STATUS_UPDATE, "no_show_rebook"),
    *MOVING,
)

ARRIVAL: Final = "arrival"
QUALIFICATION: Final = "qualification"
ASSIGNMENT: Final = "assignment"
ACCEPTANCE: Final = "acceptance"
QUEUED: Final = "queued"
LAST_TOUCH: Final = "last_touch"
MEETING_MISSED: Final = "meeting_missed"
SOURCES: Final = (ARRIVAL, QUALIFICATION, ASSIGNMENT, ACCEPTANCE, QUEUED, LAST_TOUCH, MEETING_MISSED)
NEXT_AT: Final = "next_at"
"""When a rep said to go on: of no policy's line, it starts a clock without any."""
REPLESS: Final = (ARRIVAL, QUALIFICATION, QUEUED)
"""Where nobody has the lead yet, as a rule."""
OF_ASSIGNMENTS: Final = (ASSIGNMENT, ACCEPTANCE, LAST_TOUCH, NEXT_AT)
"""Where a clock is one rep's and its cycle the assignment's; the others are the lead's own, whoever has it."""

TOUCH_KINDS: Final = ("call", "email", "meeting", "message")
ANYONE: Final = "anyone"
TEAM: Final = "team"

CONNECTED: Final = "connected"
MEETING_BOOKED: Final = "meeting_booked"
CLOSED: Final = "closed"
ENDINGS: Final = (CONNECTED, MEETING_BOOKED, CLOSED)
"""What `ends_when` may name."""
DEMOTED: Final = "demoted"
"""How an assignment ends that nobody ended: its lead no longer meets the definition, or is dropped by it."""
NOT_CLOSED: Final = ("reassigned", "declined", "returned", "merged", "handed_back")
"""Outcomes of an assignment after which somebody else works the lead."""


class State(StrEnum):
    """Of a clock."""

    RUNNING = "running"
    MET = "met"
    BREACHED = "breached"
    CANCELLED = "cancelled"


class Level(StrEnum):
    """Of an alert."""

    WARNING = "warning"
    BREACH = "breach"
    ESCALATION = "escalation"


class Marked(StrEnum):
    """What happened to a lead beside touches and assignments."""

    QUALIFIED = "qualified"
    """It is an MQL; `word` is the definition, `ref` the fields that are missing."""
    SALES_READY = "sales_ready"
    SALES_QUALIFIED = "sales_qualified"
    DEAL_OPENED = "deal_opened"
    """Of deals: `ref` is the deal's id, `word` its stage by then."""
    DEAL_MOVED = "deal_moved"
    WON = "won"
    HANDED_BACK = "handed_back"
    """`word` is the reason."""
    QUEUED = "queued"
    """For an SDR's judgement; `word` is review or bant."""
    JUDGED = "judged"
    UNQUEUED = "unqueued"
    """Nobody has to judge it any more."""
    OUT = "out"
    """Disqualified, recycled, demoted or converted elsewhere (`ref`); `word` is the reason."""
    STATUS = "status"
    WAITING = "waiting"
    """For a rep; `word` is the reason code."""
    MEETING_BOOKED = "meeting_booked"
    """Of meetings: `ref` is the meeting's id, `until` when it begins."""
    MEETING_CANCELLED = "meeting_cancelled"
    MEETING_MISSED = "meeting_missed"
    NO_SHOW = "no_show"
    """What became of a missed meeting; `word` is the outcome."""


BEFORE_QUALIFIED: Final = ("unqualified", "lost", "handed_back")
"""Stages of a deal that say nothing of whether sales ever took its lead."""
OF_ONE_LEAD: Final = (Marked.QUEUED, Marked.JUDGED, Marked.UNQUEUED, Marked.OUT)
"""Marks that concern the lead alone, not the survivor of a merge: whether that waits or is out, is said of it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Mark:
    """Something that happened to the lead."""

    mark_id: UUID
    kind: str
    at: datetime
    rep_id: str = ""
    word: str = ""
    ref: str = ""
    until: datetime | None = None
    policy: str | None = None
    """By which the clocks run that start here."""
    is_brought: bool = False
    """It happened to another, which was merged into the lead."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Touch:
    """Something a rep did towards the lead."""

    touch_id: UUID
    rep_id: str
    kind: str
    outcome: str
    automated: bool
    at: datetime
    team: str = ""
    """Of the rep, as far as it is known."""
    next_at: datetime | None = None
    """When the rep means to go on."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Counts:
    """Which touches stop a follow-up clock."""

    outcome: Sequence[str] = ("attempted", "connected")
    kinds: Sequence[str] = TOUCH_KINDS
    automated: bool = False
    by: str = "assignee"
    before_start: timedelta = timedelta(seconds=10)


NEXT_STEP: Final = "next_step"


@dataclass(frozen=True, kw_only=True, slots=True)
class Assignment:
    """Who had the lead in a cycle, and when."""

    cycle: int
    rep_id: str
    assigned_at: datetime
    accepted_at: datetime | None = None
    released_at: datetime | None = None
    outcome: str | None = None
    policy: str | None = None
    """By which its clocks run; None where it starts none."""
    touched: bool = False
    """Taken over, or touched before it changed hands: no first response is waited for."""
    moved_at: datetime | None = None
    """When a merge moved it to the survivor, with what was told of its clocks; None where none did."""
    begins_at: datetime | None = None
    """When its clocks begin, where not when it was assigned: a team that moves in is not late from the start."""

    @property
    def moved(self) -> bool:
        """Say whether a merge moved it to the survivor."""
        return self.moved_at is not None

    @property
    def begins(self) -> datetime:
        """Return when its clocks begin."""
        return self.begins_at or self.assigned_at


@dataclass(frozen=True, kw_only=True, slots=True)
class Brought:
    """A mark of a lead that was merged into this one."""

    since: datetime
    """When it was merged."""
    holder: str = ""
    """Who had that one when it missed a meeting."""
    over: Collection[str] = ()
    """The clocks that it began and that were over by then: they stay on record with that one."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Facts:
    """All that is known of a lead, and of those merged into it; in whatever order it came."""

    touches: Sequence[Touch] = ()
    marks: Sequence[Mark] = ()
    assignments: Mapping[int, Assignment] = field(default_factory=dict)
    is_survivor: bool = False
    """Others are merged into it, as far as that is known; or were when a merge moved an assignment to it."""
    has_others: bool = False
    """Others are one with it by now."""
    arrived_at: datetime | None = None
    """When the first of them arrived, by what is known now."""
    brought: Mapping[UUID, Brought] = field(default_factory=dict)
    """Of marks that others brought what is known of them, where what they begin is asked for (`staying.note`)."""

    @property
    def plans_ahead(self) -> bool:
        """Say whether a rep said when to go on."""
        return any(touch.next_at is not None for touch in self.touches) or any(
            mark.until is not None for mark in self.of(Marked.STATUS)
        )

    def given_at(self, assignment: Assignment) -> datetime:
        """Return since when a rep had the lead: had they another that is one with it, since they got that one."""
        if assignment.moved_at is not None and not self.has_others:
            return assignment.moved_at
        return assignment.assigned_at

    def updates(self, assignment: Assignment) -> list[Mark]:
        """Return what the rep of an assignment said of the status while it lasted, the first one first."""
        over_at = assignment.released_at
        return [
            mark
            for mark in self.of(Marked.STATUS)
            if mark.rep_id == assignment.rep_id
            and mark.at >= assignment.begins
            and (over_at is None or mark.at < over_at)
        ]

    def plans(self, assignment: Assignment) -> list[Mark]:
        """Return those of them that say anew when to go on, or no longer: each repeats what the one before it said."""
        found: list[Mark] = []
        said: datetime | None = None
        for mark in self.updates(assignment):
            if mark.until != said:
                found.append(mark)
            said = mark.until
        return found

    def stayed(self, mark: Mark, clock: str) -> bool:
        """Say whether what a mark began was over when its lead was merged into this one."""
        return mark.mark_id in self.brought and clock in self.brought[mark.mark_id].over

    def of(self, *kinds: str) -> list[Mark]:
        """Return the marks of these kinds."""
        return [mark for mark in self.marks if mark.kind in kinds]


@dataclass(frozen=True, kw_only=True, slots=True)
class Terms:
    """What a clock was started with, which later policies do not change."""

    kind: str
    source: str
    rep_id: str
    started_at: datetime
    due_at: datetime
    counts: Counts
    needs: Mapping[str, int] = field(default_factory=dict)
    spread_seconds: float = 0
    team: str = ""
    within_seconds: float = 0
    booking_counts: bool = False
    ends_when: Sequence[str] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Verdict:
    """What the facts say of a clock: met when, by which touch; how far it is; when and why it was over without that."""

    met_at: datetime | None = None
    touch_id: UUID | None = None
    done: Mapping[str, int] = field(default_factory=dict)
    ended_at: datetime | None = None
    ended_by: str = ""

    def in_time(self, due_at: datetime) -> bool:
        """Say whether the promise was kept."""
        return self.met_at is not None and self.met_at <= due_at

    def is_void(self, due_at: datetime) -> bool:
        """Say whether it was over before anything was due: nobody kept the promise, and nobody broke it."""
        return not self.in_time(due_at) and self.ended_at is not None and self.ended_at <= due_at
