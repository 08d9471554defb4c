"""What the console shows follows from events on real topics, in whatever order they come, and streams say it once."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import httpx

from backbone import ids, times
from backbone.testing import PATIENCE_S, eventually
from backbone.testing.stage import Actor, Stage
from console import store_changes, store_pages
from console.views import Filters, InboxPage, InboxRow, Person
from handoff.events.v1 import common_pb2, intake_pb2, qualification_pb2, routing_pb2, sla_pb2

StartConsole = Callable[..., Awaitable[Actor]]
Event = tuple[UUID, Any]
MANAGER = Person(account="m", role="manager", rep_id=None, name="M", zone="UTC")


async def now(actor: Actor) -> datetime:
    async with actor.database.reading() as conn:
        return await times.now(conn)


def stamp(lead: UUID, at: datetime, *, live: bool = True) -> common_pb2.Stamp:
    made = common_pb2.Stamp(lead_id=str(lead), live=live, occurred_at=times.stamp(at), recorded_at=times.stamp(at))
    if live:
        made.arrived_at.FromDatetime(at)
    return made


def fields(company: str = "Fintrove") -> common_pb2.LeadFields:
    return common_pb2.LeadFields(company=company, job_title="CFO", source="hubspot", account_domain="fintrove.example")


def captured(lead: UUID, at: datetime, *, live: bool = True, company: str = "Fintrove") -> Event:
    return lead, intake_pb2.LeadCaptured(stamp=stamp(lead, at, live=live), lead=fields(company), provider="generic")


def scored(lead: UUID, at: datetime, *, live: bool = True) -> Event:
    said = common_pb2.Qualification(stage="mql", grade="A1", fit=40, interest=20, definition="saas@8", why_passed="CFO")
    said.explanation.add(rule="finance lead", part="fit", points=40, counted=40)
    said.explanation.add(rule="webinar", part="content", points=25, ceiling=20, counted=20)
    return lead, qualification_pb2.LeadQualified(stamp=stamp(lead, at, live=live), qualification=said, lead=fields())


def routed(lead: UUID, at: datetime, rep: str = "dana", cycle: int = 1, *, live: bool = True) -> Event:
    message = routing_pb2.LeadRouted(
        stamp=stamp(lead, at, live=live),
        decision_id=str(ids.new()),
        cycle=cycle,
        rep_id=rep,
        rep=common_pb2.Rep(rep_id=rep, name=rep.title(), time_zone="Europe/Berlin", cap=3, active=True, version=1),
        outcome="assigned",
        rule="everyone",
        pool="sdr",
        policy_version=5,
        assigned_at=times.stamp(at),
        lead=fields(),
        starts_clocks=True,
    )
    message.considered.add(rep_id="cem", reason="at_cap")
    message.considered.add(rep_id=rep, chosen=True, reason="chosen")
    return lead, message


def released(lead: UUID, at: datetime, rep: str, cycle: int, outcome: str) -> Event:
    return lead, routing_pb2.AssignmentReleased(
        stamp=stamp(lead, at), cycle=cycle, rep_id=rep, outcome=outcome, released_by="rep", released_at=times.stamp(at)
    )


def clock(lead: UUID, at: datetime, state: str, *, version: int = 1, cycle: int = 1, **more: Any) -> Event:
    made = sla_pb2.Clock(
        clock="first_response_5m",
        kind="first_response_5m",
        cycle=cycle,
        rep_id="dana",
        started_at=times.stamp(at),
        due_at=times.stamp(at + timedelta(minutes=5)),
        state=state,
        version=version,
        calendar="wall",
        **more,
    )
    shape: Any = {
        "running": sla_pb2.ClockStarted,
        "met": sla_pb2.ClockMet,
        "breached": sla_pb2.SlaBreached,
        "retracted": sla_pb2.BreachRetracted,
    }["retracted" if more.get("retracted") else state]
    return lead, shape(stamp=stamp(lead, at), clock=made)


async def inbox(actor: Actor, rep: str = "dana", show: Any = "all") -> InboxPage:
    async with actor.database.reading() as conn:
        return await store_pages.inbox(conn, rep, Filters(show=show))


async def row(actor: Actor, lead: UUID, rep: str = "dana") -> InboxRow | None:
    return next((one for one in (await inbox(actor, rep)).rows if one.lead_id == lead), None)


@dataclass
class Reader:
    """Reads a stream as a tab does."""

    lines: AsyncIterator[str]
    got: list[tuple[str, str, str]] = field(default_factory=list)

    async def until(self, name: str, text: str = "") -> str:
        """Read on until an event of this name has this in its data, and return the data."""
        async with asyncio.timeout(PATIENCE_S):
            place, event, data = "", "", []
            async for line in self.lines:
                head, _, rest = line.partition(": ")
                if head == "id":
                    place = rest
                elif head == "event":
                    event = rest
                elif head == "data":
                    data.append(rest)
                elif not line and event:
                    self.got.append((place, event, "\n".join(data)))
                    if event == name and text in "\n".join(data):
                        return "\n".join(data)
                    event, data = "", []
        raise AssertionError("the stream ended")

    def of(self, name: str) -> list[str]:
        return [data for _, event, data in self.got if event == name]


@asynccontextmanager
async def stream(client: httpx.AsyncClient, path: str, after: str | None = None) -> AsyncIterator[Reader]:
    headers = {"Last-Event-ID": after} if after is not None else {}
    async with client.stream("GET", path, headers=headers) as answer:
        assert answer.status_code == 200
        yield Reader(answer.aiter_lines())


async def test_an_assignment_may_come_before_its_lead_and_its_clocks_before_both(console: StartConsole) -> None:
    actor = await console()
    lead, history, at = ids.new(), ids.new(), await now(actor)
    dana = actor.as_role("rep", rep="dana")
    async with stream(dana, "/live?page=inbox") as tab:
        await tab.until("hello")
        await actor.publish("sla", [clock(lead, at, "running")])
        await actor.settled()
        assert (await inbox(actor)).rows == ()
        await actor.publish("routing", [routed(lead, at)])
        assert str(lead) in await tab.until("lead.put", "Fintrove")
        await actor.publish("qualification", [scored(lead, at)])
        await tab.until("lead.put", "A1")
        # What intake says is newer than the copy that a decision carries, whichever comes first.
        await actor.publish("intake", [captured(lead, at, company="Fintrove Ltd"), captured(history, at, live=False)])
        await tab.until("lead.put", "Fintrove Ltd")
    await actor.publish("routing", [routed(history, at, live=False)])
    await actor.publish("qualification", [scored(lead, at)])
    await actor.publish("sla", [clock(lead, at, "breached", version=2)])
    await actor.settled()
    page = await inbox(actor)
    assert page.rows[0].company == "Fintrove Ltd"
    assert [(group.key, [one.lead_id for one in group.rows]) for group in page.groups] == [
        ("missed", [lead]),
        ("open", [history]),
    ]
    assert (page.load.open, page.load.cap, page.counts["due"]) == (2, 3, 1)
    assert page.panel is not None
    assert page.panel.score is not None
    assert [(part.part, part.total, part.cut) for part in page.panel.score.parts] == [
        ("fit", 40, 0),
        ("content", 20, 5),
    ]
    assert page.panel.score.total == page.panel.score.fit + page.panel.score.interest
    met_at = times.stamp(at + timedelta(minutes=1))
    await actor.publish("sla", [clock(lead, at, "met", version=3, retracted=True, met_at=met_at)])
    await actor.settled()
    shown = await row(actor, lead)
    assert shown is not None
    assert [(one.state, one.retracted) for one in shown.clocks] == [("met", True)]


async def test_a_reader_who_comes_back_gets_each_change_once_and_only_their_own(console: StartConsole) -> None:
    actor = await console()
    leads, at = [ids.new() for _ in range(5)], await now(actor)
    dana, cem = actor.as_role("rep", rep="dana"), actor.as_role("rep", rep="cem")
    await actor.publish("routing", [routed(lead, at) for lead in leads])
    await actor.settled()
    position = str((await inbox(actor)).seq)
    await actor.publish("sla", [clock(lead, at, "running") for lead in leads])
    await actor.publish("sla", [clock(lead, at, "breached", version=2) for lead in leads])
    await actor.settled()
    await actor.publish("routing", [released(leads[0], at, "dana", 1, "declined"), routed(leads[0], at, "cem", 2)])
    await actor.settled()
    async with stream(dana, "/live?page=inbox", position) as tab:
        gone = json.loads(await tab.until("lead.gone"))
        await tab.until("counts")
    assert gone == {"lead_id": str(leads[0]), "reason": "declined", "rep_id": "cem", "rep_name": "Cem"}
    puts = tab.of("lead.put")
    assert len(puts) == 4
    assert all(sum(str(lead) in put for put in puts) == 1 for lead in leads[1:])
    assert all(json.loads(data)["state"] == "missed" for data in tab.of("clock"))
    places = [int(place) for place, event, _ in tab.got if event in ("lead.put", "lead.gone", "clock")]
    assert places == sorted(places)
    async with stream(dana, "/live?page=inbox", str(max(places))) as again:
        await again.until("counts")
    assert again.of("lead.put") == []
    assert (await dana.get(f"/leads/{leads[0]}")).status_code == 403
    assert (await dana.get(f"/live?page=lead&lead={leads[0]}")).status_code == 403
    assert (await cem.get(f"/leads/{leads[0]}")).status_code == 200
    async with actor.database.transaction() as conn:
        await conn.execute("UPDATE change SET at = at - interval '6 minutes'")
    async with stream(dana, "/live?page=inbox", position) as late:
        await late.until("resync")
    assert late.of("lead.put") == []
    async with actor.database.transaction() as conn:
        await conn.execute("UPDATE change SET at = at - interval '1 hour'")
        await store_changes.prune(conn)
        assert await store_changes.is_too_old(conn, int(position))
        assert not await store_changes.is_too_old(conn, await store_changes.last(conn))


async def test_any_replica_tells_anybody_and_one_that_stops_ends_its_streams(console: StartConsole) -> None:
    first = await console()
    second = await console(database_url=first.settings.database_url)
    lead, at = ids.new(), await now(first)
    here, there = (actor.as_role("rep", rep="dana") for actor in (first, second))
    path = "/live?page=inbox&due=all"
    async with stream(here, path) as ending, stream(there, path) as staying:
        await ending.until("hello")
        await staying.until("hello")
        await first.publish("routing", [routed(lead, at)])
        await ending.until("lead.put", str(lead))
        await staying.until("lead.put", str(lead))
        await first.stop()
        async with asyncio.timeout(PATIENCE_S):
            assert [line async for line in ending.lines if line.startswith("event: resync")] == []
        await second.publish("routing", [released(lead, at, "dana", 1, "returned")])
        assert json.loads(await staying.until("lead.gone"))["reason"] == "returned"


async def test_the_name_follows_and_an_erasure_takes_it_away(start: Stage, console: StartConsole) -> None:
    intake = await start("intake")
    actor, at = await console(intake_url=intake.address), await now(intake)
    body = {"email": "amara@fintrove.example", "first_name": "Amara", "last_name": "Nwosu", "company": "Fintrove"}
    lead = UUID((await intake.http.post("/v1/leads", json=body)).json()["lead_id"])
    await actor.publish("routing", [routed(lead, at)])
    dana = actor.as_role("rep", rep="dana")
    async with stream(dana, "/live?page=inbox&due=all&after=0") as tab:
        await tab.until("lead.put", "Amara Nwosu")
        async with actor.database.reading() as conn:
            found = await store_pages.search(conn, MANAGER, "nwosu", 10)
        assert [one.lead_id for one in found] == [lead]
        assert (await intake.http.delete(f"/v1/leads/{lead}/personal-data")).status_code == 202
        assert json.loads(await tab.until("lead.gone"))["reason"] == "erased"
    await actor.published(lambda events: any(event.type == "PersonalDataDeleted" for event in events))
    # Late news of the lead brings nothing back.
    await actor.publish("qualification", [scored(lead, at)])
    await actor.settled()
    async with actor.database.reading() as conn:
        page = await store_pages.lead(conn, MANAGER, lead)
        held = await conn.fetchval("SELECT string_agg(lead::text, '') FROM lead")
        kinds = [one[0] for one in await conn.fetch("SELECT kind FROM entry WHERE lead_id = $1", lead)]
    assert page is not None
    assert (page.identity.erased, page.identity.name, page.identity.company) == (True, None, "")
    assert "Amara" not in held
    assert "Fintrove" not in held
    assert kinds == ["PersonalDataErased"]
    assert (await inbox(actor)).rows == ()


async def test_a_merge_is_followed_and_an_unmerge_gives_both_sides_back(console: StartConsole) -> None:
    actor = await console()
    kept, gone, at = ids.new(), ids.new(), await now(actor)
    touch = intake_pb2.TouchRecorded(
        stamp=stamp(gone, at), touch_id=str(ids.new()), rep_id="dana", kind="call", outcome="connected"
    )
    await actor.publish("intake", [captured(kept, at), captured(gone, at, company="Old"), (gone, touch)])
    await actor.publish("routing", [routed(kept, at), routed(gone, at, "cem")])
    merges = [
        (lead, intake_pb2.LeadMerged(stamp=stamp(lead, at), survivor_id=str(kept), merged_id=str(gone), lead=fields()))
        for lead in (gone, kept)
    ]
    await actor.settled()
    before = await row(actor, kept)
    assert before is not None
    assert before.new
    await actor.publish("intake", merges)
    await actor.settled()
    after = await row(actor, kept)
    assert after is not None
    assert (after.new, after.touches_done) == (False, {"call": 1})
    assert after.v > before.v
    assert await row(actor, gone, "cem") is None
    answer = await actor.http.get(f"/leads/{gone}")
    assert (answer.status_code, answer.headers["location"].partition("?")[0]) == (301, f"/leads/{kept}")
    async with actor.database.reading() as conn:
        page = await store_pages.lead(conn, MANAGER, kept)
    assert page is not None
    assert [one.kind for one in page.journey].count("merged") == 1
    assert [one.lead_id for one in page.identity.merged] == [gone]
    assert {"touch", "routed"} <= {one.kind for one in page.journey}
    unmerges = [
        (lead, intake_pb2.LeadUnmerged(stamp=stamp(lead, at), survivor_id=str(kept), unmerged_id=str(gone), lead=said))
        for lead, said in ((gone, fields("Old")), (kept, fields()))
    ]
    await actor.publish("intake", unmerges)

    async def parted() -> None:
        theirs = await row(actor, gone, "cem")
        ours = await row(actor, kept)
        assert theirs is not None
        assert ours is not None
        assert (theirs.company, ours.new) == ("Old", True)

    await eventually(parted)
