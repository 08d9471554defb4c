"""Which reason codes there are."""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends
from pydantic import ConfigDict, Field

from backbone import database, fields, outbox, security, subjects, times
from backbone.problem import Pointer, Problem
from backbone.reasons import OTHER, SHIPPED
from qualification import definitions, events, reasons

Use = Literal["disqualify", "recycle", "decline", "return", "close", "hand_back", "lost"]


class Given(fields.Body):
    """A code with its label."""

    model_config = ConfigDict(extra="forbid", populate_by_name=True)
    code: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,63}$")]
    label: Annotated[str, Field(min_length=1, max_length=200)]
    used_for: Annotated[list[Use], Field(alias="for", default_factory=lambda: list(reasons.USES))]
    fault: Literal["marketing", "sales", "lead", "nobody"] = "nobody"
    until: Annotated[str, Field(pattern=definitions.DURATION["pattern"], max_length=16)] | None = None


def router(db: database.Database, out: outbox.Outbox) -> APIRouter:
    """Return the routes of reasons."""
    api = APIRouter(prefix="/v1/reasons", tags=["reasons"])
    reading = Depends(security.allow("rep", "sdr", "marketing", "manager"))

    @api.get("", dependencies=[reading])
    async def show() -> list[dict[str, Any]]:
        """List the codes: those shipped, unless they were replaced."""
        async with db.reading() as conn:
            known = (await reasons.load(conn)).known
        return [
            {"code": one.code, "label": one.label, "for": one.fits, "fault": one.fault, "until": one.until}
            for one in known.values()
        ]

    @api.put("", dependencies=[Depends(security.allow("marketing", "manager"))])
    async def put(body: Annotated[list[Given], Field(min_length=1, max_length=500)]) -> list[dict[str, Any]]:
        """Replace the codes. `other` is always among them: it stands for every text that is no code."""
        codes = [one.code for one in body]
        if len(set(codes)) != len(codes):
            twice = next(number for number, code in enumerate(codes) if code in codes[:number])
            fault = Pointer(f"/{twice}/code", "stands here twice")
            raise Problem(422, "Not a list of reasons", "Give each code once.", errors=[fault])
        new = [
            reasons.Reason(code=one.code, label=one.label, fits=tuple(one.used_for), fault=one.fault, until=one.until)
            for one in body
        ]
        if OTHER not in codes:
            label, fault_of = SHIPPED[OTHER]
            new.append(reasons.Reason(code=OTHER, label=label, fits=reasons.USES, fault=fault_of, until=None))

        async def act(conn: database.Connection) -> None:
            await subjects.lock(conn, [events.REASONS])
            await reasons.replace(conn, new)
            await out.add(conn, [events.reasons_changed([one.code for one in new], await times.now(conn))])

        await db.run(act)
        return await show()

    return api
