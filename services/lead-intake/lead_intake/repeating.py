"""What was accepted before: the same delivery, or the same Idempotency-Key, is answered as it was, and done once."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from backbone.database import Connection
from backbone.problem import Problem
from lead_intake import store_events
from lead_intake.asks import Ask, BatchKey
from lead_intake.domain import Outcome

Answer = Mapping[str, Any] | Problem
Key = tuple[str, str]
"""A connection and a dedupe key of it."""


@dataclass(slots=True)
class Repeated:
    """What of a batch is known already; it grows as the batch goes on."""

    doubles: Mapping[Key, Any]
    refused: frozenset[BatchKey]
    seen: dict[Key, tuple[Ask, Mapping[str, Any]]] = field(default_factory=dict)

    def answer(self, ask: Ask) -> Answer | None:
        """Return the answer of one that came before, None for a new one."""
        if ask.batch_key in self.refused:
            return another_body()
        key = _key(ask)
        if key is None:
            return None
        if key in self.seen:
            first, given = self.seen[key]
            if ask.body_hash is None:
                return {**given, "outcome": str(Outcome.DUPLICATE)}
            return given if first.body_hash == ask.body_hash else another_body()
        double = self.doubles.get(key)
        return None if double is None else _same_again(ask, double)

    def remember(self, ask: Ask, answer: Mapping[str, Any]) -> None:
        """Note an accepted one."""
        if (key := _key(ask)) is not None:
            self.seen[key] = (ask, answer)


async def find(conn: Connection, asks: Sequence[Ask]) -> Repeated:
    """Look for what came before, and take the keys of whole batches."""
    keys = [key for ask in asks if (key := _key(ask)) is not None]
    doubles = await store_events.find_doubles(conn, keys) if keys else {}
    batches = {ask.batch_key for ask in asks if ask.batch_key is not None}
    refused = [key for key in sorted(batches) if not await _take(conn, key)]
    return Repeated(doubles, frozenset(refused))


async def _take(conn: Connection, key: BatchKey) -> bool:
    """Take a batch's key; False when it was another body's."""
    await conn.execute(
        "INSERT INTO idempotency (caller, route, key, body_hash) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING",
        key.caller,
        key.route,
        key.key,
        key.body_hash,
    )
    taken = await conn.fetchval(
        "SELECT body_hash = $4 FROM idempotency WHERE caller = $1 AND route = $2 AND key = $3",
        key.caller,
        key.route,
        key.key,
        key.body_hash,
    )
    return bool(taken)


def answer_of(event_id: UUID, lead_id: UUID | None, outcome: str, reason: str | None = None) -> dict[str, Any]:
    """Return what a caller is told of one event."""
    return {
        "event_id": str(event_id),
        **({"lead_id": str(lead_id)} if lead_id is not None else {}),
        "outcome": str(outcome),
        **({"reason": reason} if reason is not None else {}),
    }


def another_body() -> Problem:
    """Return the refusal of a key that was used for something else."""
    return Problem(422, "Another body", "This Idempotency-Key was used with another body. Take a new key.")


def _key(ask: Ask) -> Key | None:
    return (ask.connection_id, ask.dedupe) if ask.dedupe is not None else None


def _same_again(ask: Ask, double: Any) -> Answer:
    if ask.body_hash is not None and double["body_hash"] != ask.body_hash:
        return another_body()
    if double["erased"]:
        return answer_of(double["event_id"], None, Outcome.ERASED)
    if ask.body_hash is None:
        return answer_of(double["event_id"], double["lead_id"], Outcome.DUPLICATE)
    return answer_of(double["event_id"], double["lead_id"], double["outcome"], double["reason"])
