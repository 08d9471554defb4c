"""Reps whom a missed promise takes offline, and who come back when it turns out that they kept it."""

from typing import Final
from uuid import UUID

from google.protobuf.message import Message

from backbone.database import Connection
from handoff.events.v1 import sla_pb2
from routing import events, store_group
from routing.desk import Desk
from routing.domain import WhyNot

PAUSE: Final = "pause"


def whom(message: Message) -> str | None:
    """Return whom an event takes offline, or brings back."""
    if isinstance(message, sla_pb2.SlaEscalated):
        return message.clock.rep_id if message.alert.to == PAUSE else None
    if isinstance(message, sla_pb2.EscalationRetracted):
        return message.clock.rep_id if message.to == PAUSE else None
    return None


def pause(desk: Desk, rep_id: str, alert_id: str) -> None:
    """Give the rep nothing from now on; whom a person paused stays paused by that alone."""
    rep, known = desk.group.index.reps.get(rep_id), desk.group.known.get(rep_id)
    if rep is None or known is None or rep.away is WhyNot.INACTIVE:
        return
    is_by_person = known.paused and not known.paused_by
    if not is_by_person:
        desk.group.index.come_or_go(rep_id, WhyNot.PAUSED)
        desk.paused_by[rep_id] = desk.paused_by.get(rep_id, known.paused_by) | {UUID(alert_id)}


def take_back(desk: Desk, rep_id: str, alert_id: str) -> None:
    """Let the rep come back whom nothing but this paused; a person's word since then stands."""
    known = desk.group.known.get(rep_id)
    by = desk.paused_by.get(rep_id, known.paused_by) if known is not None else frozenset()
    if UUID(alert_id) in by:
        desk.paused_by[rep_id] = by - {UUID(alert_id)}


async def write(desk: Desk, conn: Connection) -> None:
    """Write who is paused as a step of its own, before anything is decided: who replays that sees them paused.

    Who comes back gets leads from the next step on.
    """
    for rep_id, by in sorted(desk.paused_by.items()):
        await conn.execute("UPDATE rep SET paused_by = $2 WHERE rep_id = $1", rep_id, sorted(by))
        if desk.group.known[rep_id].paused is bool(by):
            continue
        desk.more_wait = desk.more_wait or not by
        await conn.execute("UPDATE rep SET paused = $2, version = version + 1 WHERE rep_id = $1", rep_id, bool(by))
        known = await store_group.known_rep(conn, rep_id, desk.now)
        await store_group.keep_version(conn, desk.group, rep_id, known)
        desk.outgoing.append(events.rep_changed(rep_id, known, desk.now))
    if desk.paused_by:
        await store_group.advance(conn, desk.group, changed=True)
