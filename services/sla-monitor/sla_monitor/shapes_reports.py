"""What reports look like, for /openapi.json. Shares from 0 to 1, null of nothing; times in seconds."""

from datetime import date, datetime
from typing import Any, Final, Literal
from uuid import UUID

from pydantic import BaseModel, Field

from backbone import tables
from sla_monitor.shapes import Party


class Report(BaseModel):
    """What every report says beside its numbers."""

    as_of: datetime
    complete_until: datetime | None
    unsigned_by: list[Party]


class Pace(BaseModel):
    """How fast leads were touched."""

    leads: int
    touched: int
    never_touched: int
    within_300_seconds: int
    within_1800_seconds: int
    within_86400_seconds: int
    p50_seconds: float | None
    p90_seconds: float | None


class Speed(BaseModel):
    """Speed to lead."""

    key: str
    from_arrival: Pace
    from_assignment: Pace
    touches_per_lead: float | None


class Attainment(BaseModel):
    """How many promises of a kind were kept."""

    key: str
    kind: str
    met: int
    missed: int
    running: int
    share: float | None


class UntilContact(BaseModel):
    """How many touches a first contact took."""

    mean: float | None
    p50: float | None


class GivenUp(BaseModel):
    """Who was given up before the touches that were promised; 1,000 are named at most."""

    leads: int
    lead_ids: list[UUID]


class Persistence(BaseModel):
    """How doggedly leads were followed up."""

    key: str
    leads: int
    touches_per_lead: float | None
    contacted: int
    contacted_share: float | None
    touches_until_contact: UntilContact
    given_up: GivenUp


class NotRebooked(BaseModel):
    """Why missed meetings were not booked again."""

    lost_interest: int
    wrong_time: int
    unreachable: int
    unknown: int


class Meetings(BaseModel):
    """What became of booked meetings."""

    key: str
    booked: int
    held: int
    cancelled: int
    missed: int
    rebooked: int
    not_rebooked: NotRebooked


class Bucket(BaseModel):
    """What became of leads that were first touched so soon."""

    bucket: str
    leads: int
    srl: int
    sql: int
    won: int
    srl_share: float | None
    sql_share: float | None
    won_share: float | None


class Odds(BaseModel):
    """The odds ratio of the fastest bucket against all others, with its 95 % interval."""

    ratio: float | None
    low: float | None
    high: float | None


class Conversion(BaseModel):
    """What a minute costs."""

    key: str
    buckets: list[Bucket]
    odds: dict[Literal["srl", "sql", "won"], Odds]


class Leak(BaseModel):
    """Where leads are lost; 1,000 are named at most."""

    kind: Literal["slow", "capped", "neglected", "no_show", "declined_in_a_circle", "closed_without_outcome"]
    leads: int
    lead_ids: list[UUID]


class HandOff(BaseModel):
    """How leads came to their first rep; `promised` are those with a limit, `within` those that kept it."""

    handed: int
    waiting: int
    with_a_rep_already: int
    p50_seconds: float | None
    p90_seconds: float | None
    promised: int
    within: int
    share_within: float | None


class Waited(BaseModel):
    """What handed leads waited on; for marketing before they qualified."""

    marketing_seconds: float
    capacity_seconds: float
    hours_seconds: float
    policy_seconds: float
    rest_seconds: float


class Rejected(BaseModel):
    """Leads that sales gave back."""

    leads: int
    share: float | None
    reasons: dict[str, int]


class Delivery(BaseModel):
    """What became of leads that qualified."""

    key: str
    qualified: int
    history: int
    complete: int
    share_complete: float | None
    handoff: HandOff
    waited: Waited
    rejected: Rejected


class Kept(BaseModel):
    """How often sales kept a promise that began then."""

    met: int
    missed: int


class Week(Delivery):
    """A week beside what was promised for it."""

    week: date
    promised: float | None
    first_response: Kept
    minimum_touches: Kept
    status_update: Kept


class ToDate(BaseModel):
    """What was delivered so far beside the promise, and what it comes to if it goes on like this."""

    promised: float | None
    delivered: int
    share_delivered: float | None
    projection: float | None


class SourceToDate(ToDate):
    """The same of one source."""

    key: str


class Period(ToDate):
    """The week, month or quarter around the end of the span."""

    period: Literal["week", "month", "quarter"]
    name: str
    start: datetime = Field(alias="from")
    end: datetime = Field(alias="to")
    share_passed: float
    by_source: list[SourceToDate]


class SpeedReport(Report):
    """Speed to lead."""

    groups: list[Speed]


class AttainmentReport(Report):
    """Attainment."""

    groups: list[Attainment]


class PersistenceReport(Report):
    """Persistence."""

    groups: list[Persistence]


class MeetingsReport(Report):
    """Meetings."""

    groups: list[Meetings]


class ConversionReport(Report):
    """Conversion by response time."""

    groups: list[Conversion]
    note: str


class LeaksReport(Report):
    """Leaks."""

    items: list[Leak]


class MarketingReport(Report):
    """Both sides of the agreement."""

    weeks: list[Week]
    totals: list[Delivery]
    periods: list[Period]


def described(report: type[Report]) -> dict[int | str, dict[str, Any]]:
    """Return how OpenAPI describes a report: as JSON, and as a table for who accepts text/csv."""
    content = {"text/csv": {"schema": {"type": "string"}}}
    return {200: {"model": report, "content": content, "headers": _HEADERS}}


CONVERSION: Final = (
    *("key", *tables.columns(Bucket)),
    *(f"{outcome}_odds.{name}" for outcome in ("srl", "sql", "won") for name in tables.columns(Odds)),
    "note",
)
"""The columns of the table of conversion: a row a bucket."""
_FIRST: Final = ("week", "key", "promised")
WEEKS: Final = (*_FIRST, *(name for name in tables.columns(Week) if name not in _FIRST))


def _header(text: str) -> dict[str, Any]:
    return {"description": f"Of a table: {text}", "schema": {"type": "string"}}


_HEADERS: Final = {
    tables.header("as_of"): _header("as of when it holds."),
    tables.header("complete_until"): _header("until when every fact is known; left out while that cannot be told."),
    tables.header("unsigned_by"): _header("which parties have not signed, by commas; left out where both have."),
}
"""What JSON says in keys of the same names."""
