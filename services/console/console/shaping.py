"""Rows of the database as the values that pages get: pure."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from decimal import Decimal, InvalidOperation
from typing import Any, Final
from uuid import UUID

from google.protobuf.json_format import MessageToDict

from backbone import calendars, public_holidays, times
from console import domain, zones
from console.views import (
    Attribution,
    Availability,
    Clock,
    Consent,
    Considered,
    Decision,
    Identity,
    InboxRow,
    Merged,
    Opportunity,
    Part,
    Point,
    Score,
    Source,
)
from handoff.events.v1 import common_pb2, forecast_pb2, sla_pb2

_A_WEEK: Final = timedelta(days=7)
_CALLS: Final = frozenset({"call", "calls", "phone", "telephone"})


def availability(rep: common_pb2.Rep, now: datetime) -> Availability:
    """Return whether a rep gets new leads now, why not, and until when it stays so."""
    if not rep.active:
        return Availability(available=False, reason="inactive")
    hours = _calendar(rep, now)
    if rep.paused:
        return Availability(available=False, reason="paused")
    for one in rep.time_off:
        if times.at(one.start) <= now < times.at(one.end):
            return Availability(available=False, reason="on_leave", until=times.at(one.end))
    if hours is None:
        return Availability(available=True)
    until = calendars.open_until(hours, now)
    if until is not None:
        # Who never closes has no end of the day.
        return Availability(available=True, until=until if until - now < _A_WEEK else None)
    return Availability(available=False, reason="off_hours", until=calendars.next_opening(hours, now))


def _calendar(rep: common_pb2.Rep, now: datetime) -> calendars.Calendar | None:
    if not rep.working_hours:
        return None
    try:
        off = tuple((times.at(one.start), times.at(one.end)) for one in rep.time_off)
        closed = public_holidays.of(rep.holidays, now.year) if rep.holidays else frozenset()
        windows = calendars.windows([(list(one.days), one.start, one.end) for one in rep.working_hours])
    except ValueError:
        return None
    return calendars.Calendar(zone=rep.time_zone or "UTC", windows=windows, closed=closed, off=off)


def clock(value: bytes, now: datetime, resting: Mapping[str, Availability]) -> Clock:
    """Return a clock. `resting`: reps outside their hours; a clock on a rep's hours stands still for so long."""
    said = sla_pb2.Clock.FromString(value)
    started_at, due_at = times.at(said.started_at), times.at(said.due_at)
    paused_until = times.at(said.paused_until) if said.HasField("paused_until") else None
    rests = resting.get(said.rep_id)
    if paused_until is None and rests is not None and said.calendar.startswith(f"{said.rep_id}@"):
        paused_until = rests.until
    if paused_until is not None and paused_until <= now:
        paused_until = None
    state = "missed" if said.state == "breached" else said.state
    if state == "running" and paused_until is not None:
        state = "paused"
    return Clock(
        clock=said.clock,
        kind=said.kind,
        label=domain.label(said.kind, dict(said.touches_needed)),
        state=state,  # type: ignore[arg-type]  # the contract's own words
        cycle=said.cycle,
        started_at=started_at,
        due_at=due_at,
        within_seconds=(due_at - started_at).total_seconds(),
        met_at=times.at(said.met_at) if said.HasField("met_at") else None,
        breached_at=times.at(said.breached_at) if said.HasField("breached_at") else None,
        paused_until=paused_until if state == "paused" else None,
        retracted=said.retracted,
        done=dict(said.touches_done),
        needed=dict(said.touches_needed),
        policy=said.policy,
        calendar=said.calendar,
    )


def name(opened: Mapping[str, Any] | None) -> str | None:
    """Return what a person is called; their address where they have no name; None until it was opened."""
    if opened is None:
        return None
    full = " ".join(part for part in (opened.get("first_name"), opened.get("last_name")) if part)
    return full or opened.get("email") or opened.get("phone") or ""


def row(record: Any, now: datetime, resting: Mapping[str, Availability]) -> InboxRow:
    """Return a row of the inbox from a row of `store_rows`."""
    clocks = tuple(sorted((clock(one, now, resting) for one in record["clocks"]), key=lambda one: one.due_at))
    if not record["live"]:
        # History is not news: it hurries nobody.
        clocks = ()
    group, nearest = domain.place(clocks, now)
    needs = next((one for one in clocks if one.kind == domain.TOUCHES and one.state != "cancelled"), None)
    touched_at, hot_at = record["touched_at"], record["hot_at"]
    untouched = touched_at is None or touched_at < record["assigned_at"] - domain.BEFORE_START
    still_hot = touched_at is None or hot_at is None or touched_at < hot_at
    return InboxRow(
        lead_id=record["lead_id"],
        v=record["v"],
        rep_id=record["rep_id"],
        cycle=record["cycle"],
        state="offered" if record["accepted_at"] is None else "accepted",
        name=name(record["opened"]),
        company=record["company"],
        job_title=record["job_title"],
        grade=record["grade"],
        hot=hot_at is not None and hot_at > now - domain.HOT_FOR and still_hot,
        new=untouched,
        why_passed=record["why_passed"],
        source=record["source"],
        group=group,
        due_at=nearest.due_at if nearest is not None else None,
        clock=nearest,
        clocks=clocks,
        touches_done=needs.done if needs is not None else record["touches"],
        touches_needed=needs.needed if needs is not None else {},
        arrived_at=record["arrived_at"] or record["created_at"] or record["assigned_at"],
        assigned_at=record["assigned_at"],
    )


def score(value: bytes | None, grade: str) -> Score | None:
    """Return the score explained; the total is the sum of its parts, which are the sums of their points."""
    if value is None:
        return None
    said = common_pb2.Qualification.FromString(value)
    points: dict[str, list[Point]] = {}
    for one in said.explanation:
        ceiling = one.ceiling if one.HasField("ceiling") else None
        line = Point(rule=one.rule, part=one.part, points=one.points, counted=one.counted, ceiling=ceiling)
        points.setdefault(one.part, []).append(line)
    parts = tuple(_part(part, lines) for part, lines in sorted(points.items(), key=lambda item: _part_rank(item[0])))
    return Score(
        definition=said.definition,
        grade=said.grade or grade,
        stage=said.stage,
        action=said.action,
        why_passed=said.why_passed,
        fit=said.fit,
        interest=said.interest,
        total=round(sum(part.total for part in parts), 6),
        parts=parts,
        persona=said.persona,
        missing=tuple(said.missing),
        reason=said.reason,
    )


def _part(part: str, points: Sequence[Point]) -> Part:
    ceilings = [one.ceiling for one in points if one.ceiling is not None]
    return Part(
        part=part,
        total=round(sum(one.counted for one in points), 6),
        points=tuple(points),
        ceiling=max(ceilings, default=None),
        cut=domain.cut(points),
    )


def _part_rank(part: str) -> tuple[int, str]:
    return ("fit", "situation").index(part) if part in ("fit", "situation") else 2, part


def decision(at: datetime, message: Any, names: Mapping[str, str], loads: Mapping[str, tuple[int, int]]) -> Decision:
    """Return a decision from LeadRouted or LeadWaiting. `loads`: each rep's open assignments and cap today."""
    rep_id = getattr(message, "rep_id", "") or None
    considered = sorted(message.considered, key=lambda one: not one.chosen)
    return Decision(
        decision_id=message.decision_id,
        at=at,
        cycle=message.cycle,
        outcome=message.outcome if rep_id else "waiting",
        rep_id=rep_id,
        rep_name=names.get(rep_id or "") or rep_id or "",
        rule=message.rule,
        pool=message.pool,
        strategy=getattr(message, "strategy", ""),
        reason_code=message.reason_code,
        policy_version=message.policy_version,
        over_cap=getattr(message, "over_cap", False),
        considered=tuple(_considered(one, names, loads) for one in considered),
    )


def _considered(said: Any, names: Mapping[str, str], loads: Mapping[str, tuple[int, int]]) -> Considered:
    load = loads.get(said.rep_id)
    return Considered(
        rep_id=said.rep_id,
        name=names.get(said.rep_id) or said.rep_id,
        chosen=said.chosen,
        reason=said.reason,
        open=load[0] if load is not None else None,
        cap=load[1] if load is not None else None,
    )


def identity(
    record: Any, fields: common_pb2.LeadFields, providers: Mapping[str, str], merged: Iterable[Merged]
) -> Identity:
    """Return who it is."""
    opened = record["opened"]
    told = MessageToDict(fields.attributes) if fields.HasField("attributes") else {}
    return Identity(
        opened=opened is not None,
        erased=record["erased_at"] is not None,
        name=name(opened),
        email=(opened or {}).get("email") or None,
        phone=(opened or {}).get("phone") or None,
        company=fields.company,
        job_title=fields.job_title,
        website=fields.website,
        industry=fields.industry,
        employees=fields.employees if fields.HasField("employees") else None,
        revenue=fields.revenue if fields.HasField("revenue") else None,
        country=fields.country,
        their_zone=zones.zone_of(fields.country),
        attributes={**told, **((opened or {}).get("attributes") or {})},
        sources=tuple(
            Source(
                connection_id=one.connection_id,
                external_id=one.external_id,
                provider=providers.get(one.connection_id, ""),
            )
            for one in fields.external_ids
        ),
        merged=tuple(merged),
    )


def attribution(fields: common_pb2.LeadFields, which: str) -> Attribution | None:
    """Return where it came from, first or last."""
    if not fields.HasField(which):  # type: ignore[arg-type]
        return None
    said = getattr(fields, which)
    return Attribution(
        source=said.source,
        medium=said.medium,
        campaign=said.campaign,
        cost=_decimal(said.cost),
        currency=said.currency,
        at=times.at(said.at) if said.HasField("at") else None,
    )


def bant(value: bytes | None) -> dict[str, str]:
    """Return the four answers; none where nobody asked."""
    if value is None:
        return {}
    said = common_pb2.Bant.FromString(value)
    return {one: getattr(said, one) or "unknown" for one in ("budget", "authority", "need", "timing")}


def consents(records: Iterable[Any]) -> tuple[Consent, ...]:
    """Return the newest word on each purpose, of everybody who is this person by now."""
    newest = {one["purpose"]: one for one in sorted(records, key=lambda one: one["at"])}
    return tuple(
        Consent(
            purpose=purpose,
            basis=one["basis"],
            granted=one["granted"],
            at=one["at"],
            text_version=one["text_version"],
        )
        for purpose, one in sorted(newest.items())
    )


def may_call(said: Iterable[Consent]) -> bool:
    """Say whether a consent to calls is on record."""
    return any(one.granted and one.purpose.lower() in _CALLS for one in said)


def opportunity(value: bytes, lead_id: UUID | None, family: Iterable[UUID], names: Mapping[str, str]) -> Opportunity:
    """Return a deal."""
    said = forecast_pb2.Opportunity.FromString(value)
    return Opportunity(
        opportunity_id=said.opportunity_id,
        name=said.name,
        account=said.account,
        stage=said.stage,
        category=said.category,
        amount=_decimal(said.amount),
        currency=said.currency,
        close_date=said.close_date,
        owner_id=said.owner_id,
        owner_name=names.get(said.owner_id) or said.owner_id,
        of_this_lead=lead_id in set(family),
    )


def _decimal(text: str) -> Decimal | None:
    try:
        return Decimal(text) if text else None
    except InvalidOperation:
        return None
