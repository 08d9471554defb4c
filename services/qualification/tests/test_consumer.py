"""What qualification makes of what its neighbours tell it."""

import random
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from backbone import ids, times
from backbone.testing import eventually
from handoff.events.v1 import forecast_pb2, intake_pb2, routing_pb2

FADING = """
applies: lead.source == "SOURCE"
required: [company]
fit: [{rule: any, when: "true", points: 10}]
interest: {half_life: 1s, groups: [{group: deeds, rules: [{rule: trial, kind: trial_started, points: 240}]}]}
bands: {fit: {A: 10, C: 0}, interest: {1: 50, 3: 0}}
matrix: {A1: pass, A3: nurture, C1: nurture, C3: nurture}
"""
HOT = FADING.replace("half_life: 1s, ", "").replace("points: 240", "points: 15") + "hot: {points: 30, within: 10m}\n"


async def test_interest_makes_an_mql_that_cites_its_definition_and_explains_itself(
    company: Any, engagement: Any
) -> None:
    cited = await company.activate()
    lead = ids.new()
    await company.publish(company.captured(lead, job_title="VP Sales"), engagement(lead, "webinar_attended"))
    await company.publish(
        engagement(lead, "pricing_viewed", seconds=20), engagement(lead, "pricing_viewed", seconds=3), twice=True
    )
    (said,) = await company.told(lead, "LeadQualified")
    assert (said.qualification.definition, said.lead.company, said.stamp.live) == (cited, "Acme", True)
    state = await company.shown(lead)
    assert (state["stage"], state["grade"], state["fit"], state["interest"]) == ("mql", "A2", 40, 30)
    assert (state["persona"], state["definition"], state["missing"]) == ("head of sales", cited, [])
    pricing = next(line for line in state["explanation"] if line["rule"] == "pricing")
    assert (pricing["points"], pricing["ceiling"], pricing["counted"]) == (20, 30, 15)
    assert [(move["from"], move["to"], move["definition"]) for move in state["history"]] == [
        ("new", "nurture", cited),
        ("nurture", "mql", cited),
    ]


async def test_who_hosts_the_meeting_that_made_a_lead_qualify_is_told_with_it(company: Any, engagement: Any) -> None:
    text = FADING.replace("half_life: 1s, ", "").replace("kind: trial_started", "kind: meeting_booked")
    await company.activate(text)
    hosted, moved, off, other = (ids.new() for _ in range(4))
    for lead in (hosted, moved, off, other):
        await company.publish(company.captured(lead))
    host = "Ben.Host@kestrel.example"
    await company.publish(
        engagement(hosted, "meeting_booked", host_email=host, days_ago=1),
        # Told anew, without saying by whom.
        engagement(moved, "meeting_booked", host_email=host, days_ago=1),
        engagement(moved, "meeting_booked"),
        engagement(off, "meeting_booked", host_email=host, days_ago=1),
        engagement(off, "meeting_cancelled"),
        engagement(other, "meeting_booked", host_email=host, meeting_id=7, days_ago=2),
        engagement(other, "meeting_booked", host_email="cem@kestrel.example", meeting_id=8, days_ago=1),
        engagement(other, "meeting_cancelled", meeting_id="8"),
    )
    leads = (hosted, moved, off, other)
    told = [(await company.told(lead, "LeadQualified"))[-1].qualification.host_email for lead in leads]
    assert told == [host.lower(), host.lower(), "", host.lower()]
    before = len(await company.told(hosted, "LeadScored"))
    await company.publish(engagement(hosted, "meeting_cancelled"))
    assert (await company.told(hosted, "LeadScored", before + 1))[-1].qualification.host_email == ""


async def test_without_a_definition_a_lead_stays_new_until_there_is_one(company: Any, engagement: Any) -> None:
    lead = ids.new()
    await company.publish(company.captured(lead), engagement(lead, "demo_requested"))
    state = await company.shown(lead)
    assert (state["stage"], state["reason"], state["definition"]) == ("new", "no_definition", None)
    cited = await company.activate()
    assert (await company.until(lead, "mql"))["definition"] == cited
    newer = await company.activate()
    await eventually(lambda: cites(company, lead, newer))
    # What qualified it is not rewritten.
    history = (await company.shown(lead))["history"]
    assert [move["definition"] for move in history if move["to"] == "mql"] == [cited]


async def cites(company: Any, lead: Any, reference: str) -> None:
    assert (await company.shown(lead))["definition"] == reference


async def test_missing_fields_and_exclusions_keep_a_lead_from_mql(company: Any, engagement: Any) -> None:
    await company.activate()
    nameless, small = ids.new(), ids.new()
    await company.publish(company.captured(nameless, company=""), engagement(nameless, "demo_requested"))
    await company.publish(company.captured(small, employees=5), engagement(small, "demo_requested"))
    state = await company.shown(nameless)
    assert (state["stage"], state["reason"], state["missing"]) == ("nurture", "missing_fields", ["company"])
    state = await company.shown(small)
    assert (state["stage"], state["reason"]) == ("disqualified", "too_small")
    (out,) = await company.told(small, "LeadDisqualified")
    assert out.by_score
    grown = intake_pb2.LeadUpdated(
        stamp=company.captured(small)[1].stamp, lead=company.fields(employees=500), changed=["employees"]
    )
    await company.publish((small, grown))
    assert (await company.shown(small))["stage"] == "mql"


async def test_the_same_events_in_any_order_give_the_same_score(company: Any, engagement: Any) -> None:
    await company.activate()
    chance = random.Random(7)
    a, b = ids.new(), ids.new()
    done = [("webinar_attended", {}), ("pricing_viewed", {"seconds": 30}), ("page_viewed", {})] * 3
    for lead, order in ((a, done), (b, chance.sample(done, len(done)))):
        events = [engagement(lead, kind, days_ago=1, **properties) for kind, properties in order]
        events.insert(chance.randrange(len(events)), company.captured(lead))
        await company.publish(*events)
    first, second = await company.shown(a), await company.shown(b)
    for name in ("stage", "grade", "fit", "interest", "explanation", "definition"):
        assert first[name] == second[name]


async def test_interest_fades_without_being_touched_and_demotes(company: Any, engagement: Any) -> None:
    await company.activate(FADING)
    lead = ids.new()
    await company.publish(company.captured(lead), engagement(lead, "trial_started"))
    (demoted,) = await company.told(lead, "LeadDemoted")
    assert demoted.qualification.interest < 50
    # What nobody knew before this service found it is recorded as of then.
    assert demoted.stamp.recorded_at.ToDatetime() == demoted.stamp.occurred_at.ToDatetime()
    assert [move["to"] for move in (await company.until(lead, "nurture"))["history"]] == ["mql", "nurture"]
    await company.publish(engagement(lead, "trial_started"))
    await company.told(lead, "LeadQualified", count=2)


async def test_a_burst_of_interest_is_told_once_and_sends_who_has_nobody_to_review(
    company: Any, engagement: Any
) -> None:
    await company.activate(HOT)
    lead, history = ids.new(), ids.new()
    await company.publish(company.captured(lead), engagement(lead, "trial_started"))
    assert "HotLeadDetected" not in await company.names(lead)
    await company.publish(engagement(lead, "trial_started"), engagement(lead, "trial_started", days_ago=1))
    (hot,) = await company.told(lead, "HotLeadDetected")
    assert (hot.points, hot.within_seconds) == (30, 600)
    await company.publish(engagement(lead, "page_viewed"))
    assert (await company.names(lead)).count("HotLeadDetected") == 1
    assert await queued(company, lead) == "review"
    past = [engagement(history, "trial_started", live=False) for _ in range(3)]
    await company.publish(company.captured(history, live=False), *past)
    assert "HotLeadDetected" not in await company.names(history)


async def queued(company: Any, lead: Any) -> str | None:
    items = (await company.actor.http.get("/v1/review-queue", params={"limit": 500})).json()["items"]
    return next((item["kind"] for item in items if item["lead_id"] == str(lead)), None)


async def test_history_is_scored_and_waits_for_nobody_until_it_lives(company: Any, engagement: Any) -> None:
    await company.activate()
    lead = ids.new()
    past = engagement(lead, "demo_requested", live=False)
    await company.publish(company.captured(lead, live=False), past)
    (said,) = await company.told(lead, "LeadQualified")
    assert not said.stamp.live
    assert await queued(company, lead) is None
    await company.publish(engagement(lead, "page_viewed"))
    again = await company.told(lead, "LeadQualified", count=2)
    assert again[-1].stamp.live
    assert await queued(company, lead) == "bant"


async def two_leads(company: Any, engagement: Any) -> tuple[UUID, UUID]:
    """Let two leads come, each with as much interest as the other."""
    await company.activate()
    a, b = ids.new(), ids.new()
    done = [engagement(a, "webinar_attended"), engagement(b, "webinar_attended")]
    await company.publish(company.captured(a), company.captured(b), *done)
    return a, b


async def test_a_merge_counts_what_both_did_and_unmerging_takes_it_apart(
    company: Any, engagement: Any, stamped: Any
) -> None:
    a, b = await two_leads(company, engagement)
    assert (await company.shown(b))["interest"] == 15
    merged = intake_pb2.LeadMerged(stamp=stamped(a), survivor_id=str(a), merged_id=str(b), lead=company.fields())
    await company.publish((b, merged), (a, merged))
    state = await company.shown(b)
    assert (state["lead_id"], state["interest"], state["stage"]) == (str(a), 30, "mql")
    # An old snapshot of the merged lead that comes late is not the survivor's.
    await company.publish(company.captured(b, employees=1))
    assert (await company.shown(a))["fit"] == 40
    apart = intake_pb2.LeadUnmerged(stamp=stamped(a), survivor_id=str(a), unmerged_id=str(b), lead=company.fields())
    await company.publish((a, apart), (b, apart))
    for lead in (a, b):
        state = await company.shown(lead)
        assert (state["lead_id"], state["interest"], state["stage"]) == (str(lead), 15, "nurture")


async def test_a_merge_that_the_survivors_key_tells_after_it_was_undone_closes_nobody(
    company: Any, engagement: Any, stamped: Any
) -> None:
    a, b = await two_leads(company, engagement)
    # The merged lead's third event, and its fourth.
    said: dict[str, Any] = {"stamp": stamped(a), "survivor_id": str(a), "lead": company.fields()}
    merged = intake_pb2.LeadMerged(**said, merged_id=str(b), merged_version=3)
    apart = intake_pb2.LeadUnmerged(**said, unmerged_id=str(b), unmerged_version=4)
    await company.publish((b, merged), (b, apart))
    assert (await company.shown(b))["lead_id"] == str(b)
    await company.publish((a, merged))
    await company.publish(engagement(b, "webinar_attended"))
    state = await company.shown(b)
    assert (state["lead_id"], state["interest"], state["stage"]) == (str(b), 30, "mql")
    await company.publish((a, apart))
    assert (await company.shown(a))["interest"] == 15


async def test_an_erased_lead_is_gone_and_what_comes_late_brings_nothing_back(
    company: Any, engagement: Any, stamped: Any
) -> None:
    await company.activate()
    lead = ids.new()
    await company.publish(company.captured(lead), engagement(lead, "demo_requested"))
    erased = intake_pb2.PersonalDataErased(stamp=stamped(lead), erasure_id=str(ids.new()))
    await company.publish((lead, erased), engagement(lead, "demo_requested"), company.captured(lead))
    (deleted,) = await company.told(lead, "PersonalDataDeleted")
    assert (deleted.erasure_id, deleted.service) == (erased.erasure_id, "qualification")
    assert (await company.actor.http.get(f"/v1/leads/{lead}")).status_code == 404
    async with company.actor.database.reading() as conn:
        assert await conn.fetchval("SELECT count(*) FROM engagement WHERE lead_id = $1", lead) == 0
        row = await conn.fetchrow("SELECT fields, score, queue_kind FROM lead WHERE lead_id = $1", lead)
        assert list(row.values()) == [None, None, None]


async def test_what_the_rep_closes_and_what_the_deal_comes_to_moves_the_lead(
    company: Any, engagement: Any, stamped: Any
) -> None:
    await company.activate()
    closed, won, lost = ids.new(), ids.new(), ids.new()
    for lead in (closed, won, lost):
        await company.publish(company.captured(lead), engagement(lead, "demo_requested"))
        await company.routed(lead, "ana")
    until = datetime.now(UTC) + timedelta(days=30)
    released = routing_pb2.AssignmentReleased(
        stamp=stamped(closed), rep_id="ana", cycle=1, outcome="recycled", reason="timing", until=times.stamp(until)
    )
    await company.publish((closed, released), topic="routing")
    state = await company.shown(closed)
    assert (state["stage"], state["reason"], state["cycle"], state["previous_rep"]) == ("nurture", "timing", 2, "ana")
    assert state["recycled_until"] == times.text(until)
    await company.publish(engagement(closed, "demo_requested"))
    assert (await company.shown(closed))["stage"] == "nurture"
    deal = forecast_pb2.Opportunity(opportunity_id=str(ids.new()), stage="won")
    await company.publish(
        (won, forecast_pb2.OpportunityWon(stamp=stamped(won), opportunity=deal)),
        (lost, forecast_pb2.OpportunityLost(stamp=stamped(lost), opportunity=deal, reason="they went bankrupt")),
        topic="forecast",
    )
    assert (await company.shown(won))["stage"] == "customer"
    (told,) = await company.told(won, "LeadConverted")
    assert told.qualification.stage == "customer"
    state = await company.shown(lost)
    assert (state["stage"], state["reason"], state["cycle"]) == ("nurture", "other", 2)
    assert state["history"][-1]["words"] == "they went bankrupt"


async def test_who_closes_a_lead_as_converted_says_yes_to_it_and_answers_what_the_definition_asks(
    company: Any, engagement: Any, stamped: Any
) -> None:
    await company.activate()
    lead, silent, won = ids.new(), ids.new(), ids.new()
    answers = {question: {"answer": "yes"} for question in ("need", "timing")}
    for one in (lead, silent, won):
        await company.publish(company.captured(one), engagement(one, "demo_requested"))
        await company.routed(one, "ana")
        if one != silent:
            assert (await company.actor.http.put(f"/v1/leads/{one}/bant", json=answers)).status_code == 200

    async def closed(one: Any, by: str, cycle: int = 1, rep_id: str = "ana") -> str:
        said = {"rep_id": rep_id, "cycle": cycle, "outcome": "converted", "released_by": by}
        message = routing_pb2.AssignmentReleased(stamp=stamped(one), **said)
        await company.publish((one, message), topic="routing")
        return str((await company.shown(one))["stage"])

    assert (await closed(silent, "rep"), await queued(company, silent)) == ("mql", "bant")
    assert await closed(lead, "rep") == "srl"
    await company.routed(lead, "sam", role="sales", cycle=2)
    assert await closed(lead, "manager", cycle=2, rep_id="sam") == "sql"
    # What the deal's end releases says nothing of the stage: the deal itself does.
    assert await closed(won, "forecast") == "mql"
