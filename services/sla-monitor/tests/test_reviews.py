"""Who is told that nobody judged what waits for an SDR's judgement."""

from backbone import ids
from backbone.testing.stage import Actor
from tests.shown import put
from tests.telling import (
    captured,
    learn,
    now,
    qualified,
    rep,
    rep_changed,
    routed,
)


async def test_what_an_sdr_has_and_does_not_judge_is_told_to_their_manager(sla: Actor) -> None:
    await put(sla, "clocks: [{kind: review, within: 1s, from: queued}]")
    lead, at = ids.new(), now()
    await learn(sla, "intake", captured(lead, at))
    await learn(
        sla, "routing", rep_changed(rep("zoe", manager_id="tom"), at), routed(lead, at, who=rep(manager_id="mia"))
    )
    await learn(sla, "qualification", qualified(lead, at, queue="bant"))
    told = await sla.published(lambda seen: any(event.type == "SlaBreached" for event in seen))
    (breach,) = [event.message for event in told if event.type == "SlaBreached"]
    assert (breach.alert.to, breach.clock.rep_id) == ("manager", "ana")
    assert list(breach.alert.manager_ids) == ["mia"]


async def test_where_the_sdr_has_no_manager_those_of_the_other_sdrs_are_told(sla: Actor) -> None:
    await put(sla, "clocks: [{kind: review, within: 1s, from: queued}]")
    lead, at = ids.new(), now()
    await learn(sla, "intake", captured(lead, at))
    colleagues = [rep("zoe", manager_id="tom"), rep("sal", role="sales", manager_id="pat")]
    given = routed(lead, at, who=rep(manager_id=""))
    await learn(sla, "routing", *(rep_changed(one, at) for one in colleagues), given)
    await learn(sla, "qualification", qualified(lead, at, queue="bant"))
    told = await sla.published(lambda seen: any(event.type == "SlaBreached" for event in seen))
    (breach,) = [event.message for event in told if event.type == "SlaBreached"]
    assert (breach.alert.to, breach.clock.rep_id, list(breach.alert.manager_ids)) == ("manager", "ana", ["tom"])
