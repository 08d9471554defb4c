"""One event to accept, whoever sent it: what it says, under which key, and who waits for the answer."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from lead_intake.domain import Capture, Identifier


@dataclass(frozen=True, kw_only=True, slots=True)
class Fact:
    """An engagement or a touch, for a lead that is named by its id or by one identifier."""

    what: str
    lead_id: UUID | None
    identifier: Identifier | None
    external_id: str | None
    occurred_at: datetime
    live: bool
    details: Mapping[str, Any]
    note: str | None = None


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
    """The lead is known by its id: a correction by a person."""
    said: Mapping[str, Any] = field(default_factory=dict)
    consents: Sequence[Mapping[str, Any]] = ()
    sealed_names: Sequence[str] = ()
    dedupe: str | None = None
    body_hash: bytes | None = None
    """With `dedupe`: another body under the same key is refused."""
    held_because: str | None = None
    ignored_because: str | None = None
    answer: "asyncio.Future[dict[str, Any]]" = field(default_factory=lambda: asyncio.get_running_loop().create_future())
