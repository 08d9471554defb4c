"""What a page gets: values that are read in one place and rendered in another. No page asks the database itself.

Personal data (`name`, `email`, `phone`) is None until it was opened: pages say "name follows". Instants are aware UTC;
pages show them in `Person.zone`. A reason is a code of interface.md; its words are the page's.

Read by `store_pages`, each on a connection (`async with db.reading() as conn`):
    inbox(conn, rep_id: str | None, filters: Filters) -> InboxPage
    lead(conn, person: Person, lead_id: UUID) -> LeadPage | None      (None: no such lead)
    rows(conn, rep_id: str, lead_ids: Iterable[UUID]) -> list[InboxRow]
    counts(conn, person: Person) -> dict[str, int]                    (by entry of the sidebar; {"inbox": 13, …})
    search(conn, person: Person, q: str, limit: int) -> list[Found]
    row_matches(row: InboxRow, filters: Filters) -> bool

Who is asking, `signing_in.Doors(...)`, given to `pages.router(db, doors)`:
    doors.allow("rep", "sdr", …)   a dependency that returns the Person (session cookie or bearer token); admins may all
    signing_in.NotSignedIn         raised without one; answered by 303 to /signin?next=… where HTML is wanted, else 401
    Problem(403 and others)        where HTML is wanted, `pages.render_problem(request, problem: Problem) -> str` makes
                                   the page (also of the 401 of POST /signin: the sign-in page that says why)

The stream: `GET /live?page=inbox&after=&due=&grade=&source=&clock=&q=` and `GET /live?page=lead&lead=&after=`, with
callables of the pages: `pages.render_row(row: InboxRow, person: Person) -> str` (the `<li>`),
`pages.render_entry(entry: Entry, person: Person) -> str`.

The actions, `acting.router(...)`, forms or JSON, answered by JSON, or by 303 to `back` (a form field) where HTML is
wanted; `cycle` is the one that was shown (`InboxRow.cycle`): 409 when the lead has moved on:
    POST /leads/{lead_id}/accept   {cycle}                     POST /leads/{lead_id}/decline|return  {cycle, reason}
    POST /leads/{lead_id}/touch    {cycle?, kind, outcome, note?, next_step?, next_at?}
    POST /leads/{lead_id}/close    {cycle, outcome, reason?}   POST /me/pause, /me/resume            {}
    POST /signin {email, password, next?}, POST /signout
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final, Literal
from uuid import UUID

from console.views_lead import (
    Attribution,
    Consent,
    Considered,
    Decision,
    Entry,
    Identity,
    Merged,
    Opportunity,
    Part,
    Point,
    Score,
    Source,
)

__all__ = [
    "GROUPS",
    "Assignment",
    "AssignmentState",
    "Attribution",
    "Availability",
    "Clock",
    "ClockState",
    "Consent",
    "Considered",
    "Decision",
    "Empty",
    "Entry",
    "Filters",
    "Found",
    "Group",
    "Identity",
    "InboxPage",
    "InboxRow",
    "LeadPage",
    "Load",
    "Merged",
    "Opportunity",
    "Panel",
    "Part",
    "Person",
    "Point",
    "Role",
    "Score",
    "Show",
    "Source",
]

GROUPS: Final = ("missed", "first", "thirty", "other", "touches", "open", "done")
"""The inbox's groups in their fixed order: missed; first follow-up; the 30-minute window where the policy's first one
is not used; other promises; minimum touches; no clock runs (only shown by "all open"); met a moment ago (leaves the
list of what is due five seconds after the tick)."""

Role = Literal["admin", "manager", "rep", "sdr", "marketing"]
ClockState = Literal["running", "met", "missed", "paused", "cancelled"]
AssignmentState = Literal["offered", "accepted"]
Show = Literal["due", "all", "new", "hot"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Availability:
    """Whether a rep gets new leads now, why not, and until when it stays so (None: no end is known)."""

    available: bool
    reason: Literal["", "paused", "inactive", "on_leave", "off_hours"] = ""
    until: datetime | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Person:
    """Who is signed in. `may` names the sidebar's entries: inbox, review, leads, board, pipeline, forecast, …"""

    account: str
    role: Role
    rep_id: str | None
    name: str
    zone: str
    """IANA name; the rep's, else the one that reports count in."""
    theme: Literal["", "light", "dark"] = ""
    """A choice kept in the cookie `theme`; empty follows the system."""
    may: frozenset[str] = frozenset()
    by_session: bool = True
    """False where a bearer token was sent: there is nothing to sign out of."""
    availability: Availability | None = None
    """None for who is no rep."""

    def sees(self, rep_id: str | None) -> bool:
        """Say whether a lead of `rep_id` is shown to them: reps and SDRs see their own."""
        return self.role not in ("rep", "sdr") or (rep_id is not None and rep_id == self.rep_id)


@dataclass(frozen=True, kw_only=True, slots=True)
class Clock:
    """A promise. `missed` comes from the server's breach alone; with `met_at` it was kept late, and stays a miss."""

    clock: str
    kind: str
    label: str
    """"First follow-up", "3 calls, 3 e-mails" and the like, without the window."""
    state: ClockState
    cycle: int
    started_at: datetime
    due_at: datetime
    within_seconds: float
    """The window: from the start to the deadline, by the wall."""
    met_at: datetime | None = None
    breached_at: datetime | None = None
    paused_until: datetime | None = None
    retracted: bool = False
    done: Mapping[str, int] = field(default_factory=dict)
    needed: Mapping[str, int] = field(default_factory=dict)
    policy: str = ""
    calendar: str = ""
    """`wall`, or the calendar and its version."""

    @property
    def took_seconds(self) -> float | None:
        """Return how long it took until it was met."""
        return (self.met_at - self.started_at).total_seconds() if self.met_at is not None else None

    @property
    def late_seconds(self) -> float | None:
        """Return by how much it was met late, None when it was not."""
        if self.state != "missed" or self.met_at is None:
            return None
        return (self.met_at - self.due_at).total_seconds()

    @property
    def short_seconds(self) -> float:
        """Return from how much left on it is "running out": min(2 minutes, 40 % of the window)."""
        return min(120.0, self.within_seconds * 0.4)

    @property
    def short_at(self) -> datetime:
        """Return the instant from which it is "running out"."""
        return self.due_at - timedelta(seconds=self.short_seconds)


@dataclass(frozen=True, kw_only=True, slots=True)
class InboxRow:
    """One lead in a rep's list. `v` rises with every change of anything shown; older versions are dropped."""

    lead_id: UUID
    v: int
    rep_id: str
    cycle: int
    """Of the assignment; actions carry it, so that they reach the assignment that was read."""
    state: AssignmentState
    name: str | None
    company: str
    job_title: str
    grade: str
    hot: bool
    new: bool
    """Nobody has touched it since it was assigned."""
    why_passed: str
    source: str
    group: str
    """One of GROUPS."""
    due_at: datetime | None
    """The ordering instant within the group: the deadline of `clock`; None where no clock runs."""
    clock: Clock | None
    """The one that decides the group: what is left in my window."""
    clocks: tuple[Clock, ...]
    touches_done: Mapping[str, int]
    touches_needed: Mapping[str, int]
    arrived_at: datetime
    assigned_at: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class Group:
    """A group's head and its rows, ordered by deadline."""

    key: str
    rows: tuple[InboxRow, ...]
    title: str
    note: str
    """"within 5 minutes of assignment"; for missed ones when the next window ends (`note_at`)."""
    note_at: datetime | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Load:
    """How full a rep is. `cap` 0: not known yet."""

    open: int
    cap: int
    availability: Availability

    @property
    def over_cap(self) -> bool:
        """Say whether there is more than the cap."""
        return self.cap > 0 and self.open > self.cap

    @property
    def at_cap(self) -> bool:
        """Say whether there is no room."""
        return self.cap > 0 and self.open >= self.cap


@dataclass(frozen=True, kw_only=True, slots=True)
class Filters:
    """What the address says: `/inbox?due=&grade=&source=&clock=&q=&lead=`."""

    show: Show = "due"
    """The parameter `due`: due (default), all, new, hot."""
    grade: str = ""
    source: str = ""
    clock: str = ""
    """A clock's kind: rows with a running or missed clock of it."""
    q: str = ""
    """In the name (once it is known) or the company."""
    lead: UUID | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Panel:
    """The side panel of the selected row."""

    row: InboxRow
    identity: Identity
    consents: tuple[Consent, ...]
    may_call: bool
    """False: a call asks first, for no consent to calls is on record."""
    score: Score | None
    decision: Decision | None
    last_seen: tuple[Entry, ...]
    """The last three engagements, newest first."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Empty:
    """Why a list is empty. no_rep: they are no rep. no_leads: never had one. no_clock: leads, but no clock runs (with
    the next deadline). filtered: the filters let nothing through."""

    why: Literal["no_rep", "no_leads", "no_clock", "filtered"]
    next_due_at: datetime | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class InboxPage:
    """The inbox. `groups` holds those that have rows, in the fixed order."""

    now: datetime
    seq: int
    """Where the stream continues: every change up to it is in here (`/live?after=`)."""
    filters: Filters
    groups: tuple[Group, ...]
    counts: Mapping[str, int]
    """due, all, new, hot: of all open leads, whatever the filters."""
    grades: tuple[str, ...]
    sources: tuple[str, ...]
    kinds: tuple[str, ...]
    """What the filters offer."""
    load: Load
    panel: Panel | None
    empty: Empty | None = None

    @property
    def rows(self) -> tuple[InboxRow, ...]:
        """Return all rows in the order shown."""
        return tuple(row for group in self.groups for row in group.rows)


@dataclass(frozen=True, kw_only=True, slots=True)
class Assignment:
    """Who has it."""

    rep_id: str
    rep_name: str
    cycle: int
    state: AssignmentState
    assigned_at: datetime
    accepted_at: datetime | None
    status: str
    next_step: str
    next_at: datetime | None


@dataclass(frozen=True, kw_only=True, slots=True)
class LeadPage:
    """A lead. Where `merged_into` is set the page is a redirect to it (301), "merged on …" (`merged_at`)."""

    lead_id: UUID
    now: datetime
    seq: int
    """Where the stream continues (`/live?page=lead&lead=…&after=`)."""
    v: int
    merged_into: UUID | None
    merged_at: datetime | None
    live: bool
    arrived_at: datetime | None
    created_at: datetime | None
    stage: str
    grade: str
    hot: bool
    identity: Identity
    consents: tuple[Consent, ...]
    may_call: bool
    first_touch: Attribution | None
    last_touch: Attribution | None
    bant: Mapping[str, str]
    """budget, authority, need, timing: yes, no, unknown; empty: not reviewed."""
    assignment: Assignment | None
    row: InboxRow | None
    """As it stands in its rep's inbox; None where it is nobody's."""
    journey: tuple[Entry, ...]
    """Oldest first; what is expected comes last."""
    score: Score | None
    decision: Decision | None
    """The newest."""
    earlier_decisions: tuple[Decision, ...]
    clocks: tuple[Clock, ...]
    opportunities: tuple[Opportunity, ...]
    before: UUID | None = None
    after: UUID | None = None
    position: int = 0
    of: int = 0
    """Its place in the reader's inbox, for j and k; 0 of 0 when it is not in it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Found:
    """A lead in the search's list."""

    lead_id: UUID
    name: str | None
    company: str
    grade: str
    stage: str
    source: str
    rep_name: str
    created_at: datetime | None
