"""One event to accept, whoever sent it: what it says, under which key, and who waits for the answer."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from backbone import telemetry
from lead_intake.domain import Capture
from lead_intake.identity import Identifier


@dataclass(frozen=True, kw_only=True, slots=True)
class Fact:
    """An engagement or a touch; `hides` are those of its properties that are personal data."""

    what: str
    external_id: str | None
    occurred_at: datetime
    live: bool
    details: Mapping[str, Any]
    hides: Mapping[str, Any] = field(default_factory=dict)
    note: str | None = None


@dataclass(frozen=True, slots=True, order=True)
class BatchKey:
    """The Idempotency-Key of a whole batch, and its body."""

    caller: str
    route: str
    key: str
    body_hash: bytes


def _future() -> "asyncio.Future[Mapping[str, Any]]":
    return asyncio.get_running_loop().create_future()


@dataclass(kw_only=True, slots=True)
class Ask:
    """One event to accept: `capture` says of a lead, `fact` of what a lead or a rep did; without either it is held."""

    event_id: UUID
    received_at: datetime
    connection_id: str
    provider: str
    raw: bytes
    headers: Mapping[str, str]
    capture: Capture | None = None
    fact: Fact | None = None
    identifiers: Sequence[Identifier] = ()
    lead_id: UUID | None = None
    """The lead is known by its id."""
    own_lead: UUID | None = None
    """The lead that it makes where it belongs to none: another one each time that it is tried."""
    origin: UUID | None = None
    """The lead that it turned out to be of, which another one may stand for."""
    said: Mapping[str, Any] = field(default_factory=dict)
    dedupe: str | None = None
    body_hash: bytes | None = None
    """With `dedupe`: another body under the same key is refused."""
    batch_key: BatchKey | None = None
    held_because: str | None = None
    ignored_because: str | None = None
    trace: str = field(default_factory=telemetry.request_trace)
    """Of the request that it came with: another task commits it."""
    answer: "asyncio.Future[Mapping[str, Any]]" = field(default_factory=_future)

    @property
    def may_begin_a_lead(self) -> bool:
        """Say whether it may be the first that is heard of somebody."""
        return self.capture is not None and self.lead_id is None
