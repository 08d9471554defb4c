"""What forecast learns from intake, qualification, routing and the console."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

from google.protobuf.message import Message

from backbone import ids, subjects, times
from backbone.consumer import Incoming
from backbone.database import Connection
from backbone.outbox import Outbox
from forecast import dealing, domain, events, store, store_leads
from forecast.domain import Category, Move, State
from forecast.store import Deal
from forecast.store_leads import Milestone, Reporting
from handoff.events.v1 import common_pb2, console_pb2, intake_pb2, qualification_pb2, routing_pb2

SNAPSHOTS = intake_pb2.LeadCaptured | intake_pb2.LeadUpdated | intake_pb2.LeadMerged | intake_pb2.LeadUnmerged
ENDED = qualification_pb2.LeadDisqualified | qualification_pb2.LeadRecycled
DEALS = (
    ENDED
    | intake_pb2.LeadUnmerged
    | qualification_pb2.LeadQualified
    | qualification_pb2.LeadSalesReady
    | qualification_pb2.LeadSalesQualified
    | qualification_pb2.LeadHandedBack
    | routing_pb2.LeadRouted
    | routing_pb2.OpportunityHandedOver
)
ANSWERED: Final = frozenset({"PersonalDataErased", "SettingsChanged", "ReasonsChanged"})
SALES: Final = "sales"
CLOCKS_DIFFER_BY: Final = timedelta(minutes=1)


class Handler:
    """Applies batches."""

    def __init__(self, outbox: Outbox) -> None:
        self._outbox = outbox

    async def handle(self, conn: Connection, incoming: Sequence[Incoming]) -> None:
        """Note what leads are and reached, then open and move the deals that follow from it."""
        for opportunity_id in await _note(conn, [event for event in incoming if not event.erased]):
            deal = await store.find(conn, opportunity_id)
            if deal is not None:
                await dealing.announce(conn, self._outbox, deal, events.linked(deal, await times.now(conn)))
        deciding = [event for event in incoming if _decides(event)]
        if deciding:
            # All at once and sorted: two batches, or a batch and a caller, never wait for each other in a circle.
            named = {
                UUID(event.message.opportunity_id)
                for event in deciding
                if isinstance(event.message, routing_pb2.OpportunityHandedOver)
            }
            theirs = await store.ids_of_leads(conn, {event.subject for event in deciding})
            await subjects.lock(conn, {*theirs, *named})
        for event in deciding:
            await self._deal(conn, event)
        for event in incoming:
            message = event.message
            if event.type not in ANSWERED:
                continue
            if isinstance(message, intake_pb2.PersonalDataErased):
                await store.erase(conn, [UUID(one) for one in (message.stamp.lead_id, *message.merged_lead_ids)])
                answer = events.deleted(message.stamp, message.erasure_id, event.subject)
                await self._outbox.add(conn, [answer])
            elif isinstance(message, console_pb2.SettingsChanged):
                new = Reporting(message.zone, message.base_currency, message.week_starts or "mon")
                if await store_leads.set_reporting(conn, new):
                    await store.count_anew(conn, new.zone)
            elif isinstance(message, qualification_pb2.ReasonsChanged):
                await store.set_codes(conn, message.codes)

    async def _deal(self, conn: Connection, event: Incoming) -> None:
        message = event.message
        if isinstance(message, qualification_pb2.LeadSalesReady):
            await self._open(conn, event, message)
            if message.qualification.previous_stage == "sql":
                # It is an SRL again.
                less = {"stage": domain.UNQUALIFIED}
                await self._move(conn, event, message.stamp, less, only_from=(domain.QUALIFIED,))
        elif isinstance(message, qualification_pb2.LeadSalesQualified):
            await self._move(conn, event, message.stamp, {"stage": domain.QUALIFIED}, only_from=(domain.UNQUALIFIED,))
        elif isinstance(message, qualification_pb2.LeadHandedBack):
            reason = message.qualification.reason
            await self._move(conn, event, message.stamp, {"stage": domain.HANDED_BACK}, reason=reason)
        elif isinstance(message, qualification_pb2.LeadQualified):
            # It was sales' at its source, and is not any more.
            back = {"stage": domain.HANDED_BACK}
            await self._move(conn, event, message.stamp, back, only_from=(domain.UNQUALIFIED,))
        elif isinstance(message, routing_pb2.LeadRouted):
            await self._move(conn, event, message.stamp, {"owner_id": message.rep_id})
        elif isinstance(message, routing_pb2.OpportunityHandedOver):
            await self._hand_over(conn, event, message)
        elif isinstance(message, ENDED):
            # Nobody works this lead any more. What sales have qualified ends by their own word, what people opened too.
            reason, only_from = message.qualification.reason, domain.OPEN if message.closed else (domain.UNQUALIFIED,)
            lost = {"stage": domain.LOST}
            await self._move(conn, event, message.stamp, lost, only_from=only_from, reason=reason)
        elif isinstance(message, intake_pb2.LeadUnmerged):
            # It is qualified anew, and an SRL of its own has a deal of its own.
            back = {"stage": domain.HANDED_BACK}
            await self._move(conn, event, message.stamp, back)

    async def _hand_over(self, conn: Connection, event: Incoming, message: routing_pb2.OpportunityHandedOver) -> None:
        deal = await store.find(conn, UUID(message.opportunity_id))
        if deal is None or deal.state.stage not in domain.OPEN or deal.state.owner_id == message.to_rep_id:
            return
        move = Move(
            move_id=ids.derived("move of", str(event.id)),
            occurred_at=times.at(message.handed_over_at),
            recorded_at=times.at(message.stamp.recorded_at),
            changes={"owner_id": message.to_rep_id},
            reason=message.reason,
        )
        await dealing.move_deal(conn, self._outbox, deal.opportunity_id, move, external_id=None, by=event.topic)

    async def _open(self, conn: Connection, event: Incoming, message: qualification_pb2.LeadSalesReady) -> None:
        existing = await store.of_lead(conn, event.subject)
        if any(deal.by_srl and deal.state.stage not in domain.ENDS for deal in existing):
            return
        known = await store_leads.find(conn, event.original_subject)
        at = times.at(message.stamp.occurred_at)
        # A rep whom the lead had before it was an SRL does not own what comes of it; clocks of two services differ.
        is_routed = known["routed_at"] is not None and known["routed_at"] >= at - CLOCKS_DIFFER_BY
        opening = State(
            stage=domain.UNQUALIFIED,
            category=str(Category.PIPELINE),
            owner_id=known["rep_id"] if is_routed else "",
            amount=None,
            currency=(await store_leads.reporting(conn)).base,
            close_date=None,
        )
        deal = Deal(
            opportunity_id=ids.derived("opportunity of", str(event.id)),
            external_id=None,
            lead_id=event.original_subject,
            lead_reference=None,
            account=message.lead.account_domain or message.lead.company,
            name=message.lead.company or message.lead.account_domain,
            type="new",
            origin="sdr" if message.sdr_id else "marketing",
            sourced_by=message.sdr_id,
            live=message.stamp.live,
            opened_at=at,
            recorded_at=times.at(message.stamp.recorded_at),
            opening=opening,
            state=opening,
            by_srl=True,
        )
        await subjects.lock(conn, [deal.opportunity_id])
        await dealing.open_deal(conn, self._outbox, deal)

    async def _move(
        self,
        conn: Connection,
        event: Incoming,
        stamp: common_pb2.Stamp,
        changes: dict[str, Any],
        *,
        only_from: tuple[str, ...] = domain.OPEN,
        reason: str = "",
    ) -> None:
        """Move the deal that the lead's SRL opened; what people opened, or another system, moves by their own word.

        An end ends those of the leads that are one with it, too.
        """
        lead_id = event.original_subject
        deals = [one for one in await store.of_lead(conn, lead_id) if one.state.stage in domain.OPEN and one.by_srl]
        counts = dealing.that_counts(deals, lead_id)
        if changes.get("stage") not in domain.ENDS:
            deals = [counts] if counts is not None else []
        for deal in deals:
            if deal.state.stage not in only_from or all(getattr(deal.state, key) == to for key, to in changes.items()):
                continue
            move = Move(
                move_id=ids.derived("move of", str(event.id), *([] if deal is counts else [str(deal.opportunity_id)])),
                occurred_at=times.at(stamp.occurred_at),
                recorded_at=times.at(stamp.recorded_at),
                changes=changes,
                reason=reason,
            )
            await dealing.move_deal(conn, self._outbox, deal.opportunity_id, move, external_id=None, by=event.topic)


def _decides(event: Incoming) -> bool:
    """Say whether a deal may follow from an event."""
    if event.erased or not isinstance(event.message, DEALS):
        return False
    if isinstance(event.message, qualification_pb2.LeadQualified):
        return event.message.qualification.previous_stage in ("srl", "sql")
    if isinstance(event.message, intake_pb2.LeadUnmerged):
        return event.message.unmerged_id == str(event.original_subject)
    return not isinstance(event.message, routing_pb2.LeadRouted) or _is_sales_work(event.message)


def _is_sales_work(message: routing_pb2.LeadRouted) -> bool:
    """Say whether who got the lead owns what comes of it; whom an SDR's lead is given to does not."""
    return message.rep.role == SALES or message.qualification.stage in ("srl", "sql")


@dataclass(slots=True)
class _Heard:
    """What a batch tells of leads."""

    leads: dict[UUID, dict[str, Any]] = field(default_factory=dict)
    references: dict[str, UUID] = field(default_factory=dict)
    reached: list[Milestone] = field(default_factory=list)
    progress: dict[str, datetime] = field(default_factory=dict)

    def of(self, lead_id: UUID) -> dict[str, Any]:
        """Return what is heard of a lead."""
        return self.leads.setdefault(lead_id, {"lead_id": lead_id})


async def _note(conn: Connection, incoming: Sequence[Incoming]) -> list[UUID]:
    """Note what is said of leads; returns the deals of which it is new whose they are."""
    heard, linked = _Heard(), list[UUID]()
    for event in incoming:
        stamp: common_pb2.Stamp | None = getattr(event.message, "stamp", None)
        if stamp is None or not stamp.lead_id:
            continue
        at = times.at(stamp.recorded_at)
        _listen(heard, event.original_subject, event.message, stamp, at)
        heard.progress[event.topic] = max(heard.progress.get(event.topic, at), at)
    if heard.leads:
        await store_leads.note(conn, list(heard.leads.values()))
    if heard.references:
        linked = await store_leads.link_references(conn, heard.references)
    if heard.reached:
        await store_leads.reach(conn, heard.reached)
    if heard.progress:
        await store_leads.note_progress(conn, heard.progress)
    return linked


def _listen(heard: _Heard, lead_id: UUID, message: Message, stamp: common_pb2.Stamp, recorded_at: datetime) -> None:
    if isinstance(message, SNAPSHOTS):
        if _is_of(message, str(lead_id)):
            _know(heard, lead_id, message.lead, live=stamp.live, recorded_at=recorded_at)
    elif isinstance(message, routing_pb2.LeadRouted) and _is_sales_work(message):
        heard.of(lead_id).update(rep_id=message.rep_id, routed_at=times.at(stamp.occurred_at))
    elif isinstance(message, qualification_pb2.LeadQualified):
        _reach(heard, stamp, recorded_at, message.qualification, "mql")
    elif isinstance(message, qualification_pb2.LeadSalesReady):
        _reach(heard, stamp, recorded_at, message.qualification, "srl")
        heard.of(lead_id).update(sdr_id=message.sdr_id or None)
    elif isinstance(message, qualification_pb2.LeadSalesQualified):
        _reach(heard, stamp, recorded_at, message.qualification, "sql")
    elif isinstance(message, qualification_pb2.LeadDisqualified):
        _reach(heard, stamp, recorded_at, message.qualification, "disqualified")


def _know(heard: _Heard, lead_id: UUID, fields: common_pb2.LeadFields, *, live: bool, recorded_at: datetime) -> None:
    row = heard.of(lead_id)
    row.update(
        live=row.get("live", False) or live,
        created_at=times.at(fields.created_at) if fields.HasField("created_at") else row.get("created_at"),
        recorded_at=min(row.get("recorded_at") or recorded_at, recorded_at),
        source=fields.first_touch.source or fields.source,
        account=fields.account_domain,
    )
    for one in fields.external_ids:
        heard.references[f"{one.connection_id}/{one.external_id}"] = lead_id


def _is_of(message: Any, lead_id: str) -> bool:
    """Say whether a snapshot is this lead's: an old one of a lead that was merged into it since is not."""
    if isinstance(message, intake_pb2.LeadMerged):
        return message.survivor_id == lead_id
    if isinstance(message, intake_pb2.LeadUnmerged):
        return lead_id in (message.survivor_id, message.unmerged_id)
    return bool(message.stamp.lead_id == lead_id)


def _reach(
    heard: _Heard,
    stamp: common_pb2.Stamp,
    recorded_at: datetime,
    qualification: common_pb2.Qualification,
    stage: str,
) -> None:
    heard.reached.append(
        Milestone(
            lead_id=UUID(stamp.lead_id),
            stage=stage,
            at=times.at(stamp.occurred_at),
            recorded_at=recorded_at,
            definition=qualification.definition,
        )
    )
