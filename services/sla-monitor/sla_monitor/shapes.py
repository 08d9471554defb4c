"""What answers look like, for /openapi.json: they are built by hand, and nothing is validated against these again."""

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, Literal, cast
from uuid import UUID

from pydantic import BaseModel, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, core_schema

from sla_monitor.domain import Level, State

Party = Literal["marketing", "sales"]


@dataclass(frozen=True, slots=True)
class Of:
    """Describes an object of any fields as one of a shape; it is written as it was built."""

    shape: type[BaseModel]

    def __get_pydantic_json_schema__(self, _: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        """Return the shape's schema for that of any object: by its name, so that clients have one type of it."""
        name = f"{self.shape.__module__}.{self.shape.__qualname__}:{id(self.shape)}"
        named = cast("CoreSchema", {**self.shape.__pydantic_core_schema__, "ref": name})
        # As a step of its own: a handler writes out what it is given itself, and refers to what is within.
        return handler(core_schema.chain_schema([named]))


class Touches(BaseModel):
    """How many touches of each kind a clock needs, and how many there were."""

    done: dict[str, int]
    needed: dict[str, int]


class Moved(BaseModel):
    """What a changed calendar made of a deadline."""

    at: datetime
    calendar: str
    calendar_before: str
    due_at: datetime
    due_before: datetime


class Clock(BaseModel):
    """A promise to a lead; a field that stands for what has not happened is left out."""

    clock: str
    kind: str
    cycle: int
    round: int
    rep_id: str | None
    started_at: datetime
    due_at: datetime
    state: State
    met_at: datetime | None = None
    breached_at: datetime | None = None
    retracted: bool = False
    reason: str | None = None
    touches: Touches | None = None
    policy: str
    calendar: str
    moved: list[Moved] = []


class Alert(BaseModel):
    """A warning, a breach or an escalation."""

    alert_id: UUID
    position: int
    at: datetime
    clock: str
    kind: str
    level: Level
    lead_id: UUID
    rep_id: str | None
    to: str
    due_at: datetime
    late_by_seconds: float
    late: bool = False
    cycle: int
    retracted_at: datetime | None


class Signed(BaseModel):
    """What one party said of a policy."""

    party: Party
    signer: str
    decision: Literal["sign", "refuse"]
    comment: str | None
    at: datetime


class Policy(BaseModel):
    """A version of an SLA policy."""

    name: str
    version: int
    text: str
    signatures: list[Signed]
    unsigned_by: list[Party]


class Warned(BaseModel):
    """What a policy permits but hardly means."""

    pointer: str
    detail: str
    line: int | None = None
    column: int | None = None


class Put(Policy):
    """A version that was put just now."""

    warnings: list[Warned]


class Window(BaseModel):
    """A window of the week."""

    days: list[Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]]
    start: str
    end: str


class Calendar(BaseModel):
    """A version of a calendar."""

    name: str
    version: int
    time_zone: str
    working_hours: list[Window]
    holidays: str | None
    closed: list[str]


class Valid(BaseModel):
    """Nothing is wrong with a document."""

    valid: Literal[True]
    warnings: list[Warned]


ClockShown = Annotated[dict[str, Any], Of(Clock)]
AlertShown = Annotated[dict[str, Any], Of(Alert)]
PolicyShown = Annotated[dict[str, Any], Of(Policy)]
PutShown = Annotated[dict[str, Any], Of(Put)]
ValidShown = Annotated[dict[str, Any], Of(Valid)]
CalendarShown = Annotated[dict[str, Any], Of(Calendar)]
