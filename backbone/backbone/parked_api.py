"""What an admin does about parked records: look at them, apply them again in order, or discard them with a reason."""

from collections.abc import Iterable
from typing import Annotated, Any
from uuid import UUID

import structlog
from fastapi import APIRouter, Depends
from pydantic import ConfigDict, Field

from backbone import envelope, fields, pages, parking, security, subjects, times
from backbone.batches import Batches
from backbone.database import Connection, Database
from backbone.envelope import Poison
from backbone.problem import Problem

Admin = Annotated[security.Caller, Depends(security.allow("admin"))]

log = structlog.get_logger()


class Discard(fields.Body):
    """Why the records are not needed."""

    model_config = ConfigDict(extra="forbid")
    reason: Annotated[str, Field(min_length=1, max_length=500)]


def router(database: Database, groups: Iterable[Batches]) -> APIRouter:
    """Return the routes of one service."""
    api = APIRouter(tags=["parked records"])
    by_group = {group.group: group for group in groups}

    @api.get("/v1/parked")
    async def list_parked(_: Admin, asked: pages.Asked) -> dict[str, Any]:
        """List what is set aside, oldest first. `failed` records are the cause, the others wait behind them."""
        async with database.reading() as conn:
            rows = await conn.fetch(
                "SELECT parked_id, subject_id, topic, partition, record_offset, reason, failed, parked_at FROM parked"
                " WHERE parked_id > $1 ORDER BY parked_id LIMIT $2",
                asked.after[0] if asked.after else 0,
                asked.limit,
            )
            halts = await conn.fetch("SELECT consumer_group, reason, since FROM consumer_halt")
        last = pages.cursor(rows[-1]["parked_id"]) if len(rows) == asked.limit else None
        return {
            **pages.answer([_summary(row) for row in rows], last),
            "halted": [{"group": row[0], "reason": row[1], "since": times.text(row[2])} for row in halts],
        }

    @api.get("/v1/parked/{parked_id}")
    async def show_parked(_: Admin, parked_id: int) -> dict[str, Any]:
        """Show one record: its headers and size. Values are never shown; they are in the owner's database."""
        async with database.reading() as conn:
            row = await conn.fetchrow("SELECT * FROM parked WHERE parked_id = $1", parked_id)
        if row is None:
            raise _no_such()
        return {**_summary(row), "headers": row["headers"], "value_bytes": len(row["value"])}

    @api.post("/v1/parked/{parked_id}/replay")
    async def replay_parked(caller: Admin, parked_id: int) -> dict[str, Any]:
        """Apply the record and everything that waits behind it, in order, in one transaction."""

        async def act(conn: Connection) -> int:
            rows = await _behind(conn, parked_id)
            group = by_group.get(rows[0]["consumer_group"])
            if group is None:
                raise _no_such()
            await group.replay(conn, [_reopen(row) for row in rows])
            await conn.execute("DELETE FROM parked WHERE parked_id = ANY($1::bigint[])", [row[0] for row in rows])
            return len(rows)

        try:
            applied = await database.run(act)
        except Problem:
            raise
        except Exception as error:
            reason = parking.reason_of(error)
            raise Problem(
                409, "It failed again", f"{reason}. Nothing was changed; mend the cause, or discard the record."
            ) from error
        log.info("parked records were replayed", by=caller.sub, records=applied)
        return {"applied": applied}

    @api.post("/v1/parked/{parked_id}/discard")
    async def discard_parked(caller: Admin, parked_id: int, body: Discard) -> dict[str, Any]:
        """Drop one record; what waits behind it is applied by a replay of the next."""

        async def act(conn: Connection) -> None:
            await _behind(conn, parked_id)
            await conn.execute("DELETE FROM parked WHERE parked_id = $1", parked_id)

        await database.run(act)
        log.info("a parked record was discarded", by=caller.sub, parked_id=parked_id)
        return {"discarded": parked_id, "reason": body.reason}

    @api.post("/v1/parked/resume")
    async def resume(caller: Admin) -> dict[str, Any]:
        """Let consumers that halted at the limit go on."""
        await database.run(parking.resume)
        log.info("halted consumers may go on", by=caller.sub)
        return {"resumed": True}

    return api


async def _behind(conn: Connection, parked_id: int) -> list[Any]:
    """Lock the subject, then return the record and all others of its subject, in order."""
    first = await conn.fetchrow("SELECT subject_id FROM parked WHERE parked_id = $1", parked_id)
    if first is None:
        raise _no_such()
    subject: UUID | None = first["subject_id"]
    if subject is not None:
        await subjects.lock(conn, [subject])
    rows = await conn.fetch(
        "SELECT * FROM parked WHERE parked_id = $1 OR subject_id = $2 ORDER BY parked_id FOR UPDATE", parked_id, subject
    )
    if not any(row["parked_id"] == parked_id for row in rows):
        raise _no_such()
    return rows


def _reopen(row: Any) -> envelope.Incoming:
    try:
        return envelope.open_record(
            topic=row["topic"].rpartition(".v1")[0].rpartition(".")[2],
            partition=row["partition"],
            offset=row["record_offset"],
            key=row["key"],
            raw_headers=[(name, value.encode()) for name, value in row["headers"].items()],
            value=row["value"],
        )
    except envelope.Unknown as error:
        raise Poison("the event's type is not known to this version") from error


def _summary(row: Any) -> dict[str, Any]:
    return {
        "parked_id": row["parked_id"],
        "lead_id": str(row["subject_id"]) if row["subject_id"] else None,
        "topic": row["topic"],
        "partition": row["partition"],
        "offset": row["record_offset"],
        "reason": row["reason"],
        "failed": row["failed"],
        "parked_at": times.text(row["parked_at"]),
    }


def _no_such() -> Problem:
    return Problem(404, "No such record", "It may have been replayed or discarded; list them again.")
