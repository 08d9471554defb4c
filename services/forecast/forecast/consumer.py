"""What forecast learns from intake, qualification, routing and the console."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from backbone import ids, times
from backbone.consumer import Incoming
from backbone.database import Connection
from backbone.outbox import Outbox
from forecast import dealing, domain, events, store
from forecast.domain import Category, Move, State
from forecast.store import Deal
from handoff.events.v1 import common_pb2, console_pb2, intake_pb2, qualification_pb2, routing_pb2


class Handler:
    """Applies batches."""

    def __init__(self, outbox: Outbox) -> None:
        self._outbox = outbox

    async def handle(self, conn: Connection, incoming: Sequence[Incoming]) -> None:
        """Note leads for the funnel, then open and move the deals that follow from what happened."""
        leads: dict[UUID, dict[str, Any]] = {}
        references: dict[str, UUID] = {}
        for event in incoming:
            if not event.erased:
                _note(leads, references, event)
        if leads:
            await store.note_leads(conn, list(leads.values()))
        if references:
            await store.link_references(conn, references)
        for event in incoming:
            message = event.message
            if isinstance(message, intake_pb2.PersonalDataErased):
                await store.erase(conn, [UUID(one) for one in (message.stamp.lead_id, *message.merged_lead_ids)])
                answer = events.deleted(message.stamp, message.erasure_id, event.subject)
                await self._outbox.add(conn, [answer])
            elif isinstance(message, console_pb2.SettingsChanged):
                await conn.execute(
                    "INSERT INTO setting (zone, base_currency) VALUES ($1, $2) ON CONFLICT (only_one)"
                    " DO UPDATE SET zone = excluded.zone, base_currency = excluded.base_currency",
                    message.zone,
                    message.base_currency,
                )
            elif not event.erased:
                await self._deal(conn, event)

    async def _deal(self, conn: Connection, event: Incoming) -> None:
        message = event.message
        if isinstance(message, qualification_pb2.LeadSalesReady):
            await self._open(conn, event, message)
        elif isinstance(message, qualification_pb2.LeadSalesQualified):
            await self._move(conn, event, message.stamp, {"stage": domain.QUALIFIED}, only_from=(domain.UNQUALIFIED,))
        elif isinstance(message, qualification_pb2.LeadHandedBack):
            open_stages = tuple(stage for stage in domain.STAGES if stage not in domain.ENDS)
            await self._move(conn, event, message.stamp, {"stage": domain.HANDED_BACK}, only_from=open_stages)
        elif isinstance(message, routing_pb2.LeadRouted) and message.rep.role == "sales":
            open_stages = tuple(stage for stage in domain.STAGES if stage not in domain.ENDS)
            await self._move(conn, event, message.stamp, {"owner_id": message.rep_id}, only_from=open_stages)

    async def _open(self, conn: Connection, event: Incoming, message: qualification_pb2.LeadSalesReady) -> None:
        existing = await store.of_lead(conn, event.subject)
        if any(deal.state.stage not in domain.ENDS for deal in existing):
            return
        known = await store.lead(conn, event.subject)
        _, currency = await store.settings(conn)
        opening = State(
            stage=domain.UNQUALIFIED,
            category=str(Category.PIPELINE),
            owner_id=known["rep_id"] or "",
            amount=None,
            currency=currency,
            close_date=None,
        )
        at = times.at(message.stamp.occurred_at)
        deal = Deal(
            opportunity_id=ids.derived("opportunity of", str(event.id)),
            external_id=None,
            lead_id=event.subject,
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
        )
        await dealing.open_deal(conn, self._outbox, deal)

    async def _move(
        self,
        conn: Connection,
        event: Incoming,
        stamp: common_pb2.Stamp,
        changes: dict[str, Any],
        *,
        only_from: tuple[str, ...],
    ) -> None:
        deals = [deal for deal in await store.of_lead(conn, event.subject) if deal.state.stage in only_from]
        if not deals or all(getattr(deals[-1].state, name) == value for name, value in changes.items()):
            return
        move = Move(
            move_id=ids.derived("move of", str(event.id)),
            occurred_at=times.at(stamp.occurred_at),
            recorded_at=times.at(stamp.recorded_at),
            changes=changes,
        )
        await dealing.move_deal(conn, self._outbox, deals[-1].opportunity_id, move, external_id=None, by=event.topic)


def _note(leads: dict[UUID, dict[str, Any]], references: dict[str, UUID], event: Incoming) -> None:
    message, lead_id = event.message, event.subject
    if isinstance(message, intake_pb2.LeadCaptured | intake_pb2.LeadUpdated):
        row = leads.setdefault(lead_id, {"lead_id": lead_id})
        row |= {
            "live": message.stamp.live,
            "created_at": times.at(message.lead.created_at),
            "recorded_at": times.at(message.stamp.recorded_at),
            "source": message.lead.first_touch.source or message.lead.source,
            "account": message.lead.account_domain,
        }
        for one in message.lead.external_ids:
            references[f"{one.connection_id}/{one.external_id}"] = lead_id
    elif isinstance(message, intake_pb2.LeadMerged):
        merged = UUID(message.merged_id)
        leads.setdefault(merged, {"lead_id": merged})["closed"] = True
    elif isinstance(message, qualification_pb2.LeadQualified | qualification_pb2.LeadSalesReady):
        row = leads.setdefault(lead_id, {"lead_id": lead_id})
        at = times.at(message.stamp.occurred_at)
        row["definition"] = message.qualification.definition
        row["mql_at"] = min(row.get("mql_at") or at, at)
        if isinstance(message, qualification_pb2.LeadSalesReady):
            row |= {"srl_at": at, "sdr_id": message.sdr_id or None}
    elif isinstance(message, qualification_pb2.LeadSalesQualified):
        leads.setdefault(lead_id, {"lead_id": lead_id})["sql_at"] = times.at(message.stamp.occurred_at)
    elif isinstance(message, routing_pb2.LeadRouted):
        leads.setdefault(lead_id, {"lead_id": lead_id})["rep_id"] = message.rep_id
