"""Reads a kept delivery once more: what an adapter did not understand becomes leads, as of when it came."""

from collections.abc import Mapping, Sequence
from typing import Any, Final
from uuid import UUID

from backbone import vault
from backbone.problem import Problem
from lead_intake import bodies, erasing, store_events
from lead_intake.hooks import Hooks
from lead_intake.providers import Delivery
from lead_intake.reading import DIRECT

MOST_AT_ONCE: Final = 200


async def reparse(hooks: Hooks, row: Any) -> list[Mapping[str, Any]]:
    """Return what became of it. Problem 409 for what was no hook's, or is erased."""
    if row["connection_id"] == DIRECT:
        raise Problem(409, "Nothing to read again", "Direct posts are read when they come; only hooks' can be again.")
    body = await erasing.opened(hooks.vault, row)
    if body is None:
        raise Problem(409, "Not kept", "Its lead was erased, or it was read again as others, which have kept it.")
    connection = await hooks.connection(row["connection_id"])
    delivery = Delivery(method="POST", url="", headers=row["headers"], body=body)
    asks = hooks.asks(connection, delivery, now=row["received_at"])
    if all(ask.held_because is not None for ask in asks):
        reason = asks[0].held_because
        return [{"event_id": str(row["event_id"]), "outcome": "held", "reason": reason}]
    for ask in asks:
        # It is the same delivery, but this time it is to be read.
        ask.dedupe = None
    answers = await hooks.flusher.take(asks)
    await _hand_over(hooks, row["event_id"], body, answers)
    return answers


async def _hand_over(hooks: Hooks, event_id: UUID, body: bytes, answers: Sequence[Mapping[str, Any]]) -> None:
    """Note what it became, and give it to its lead, with whom it is erased; of several each has kept its part."""
    leads = {UUID(answer["lead_id"]) for answer in answers if "lead_id" in answer}
    keys = await hooks.vault.fetch(leads) if len(leads) == 1 else {}
    async with hooks.db.transaction() as conn:
        await store_events.parsed_again(conn, event_id, [answer["event_id"] for answer in answers])
        given = [(event_id, lead_id, vault.seal(key, lead_id, bodies.as_json(body))) for lead_id, key in keys.items()]
        await store_events.give_bodies(conn, given)
