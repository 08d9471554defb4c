"""What hours, leaves and time that passes do to routing."""

from datetime import timedelta

from backbone import ids, times
from backbone.testing import eventually
from backbone.testing.stage import Actor
from services.routing.tests.desk import (
    DAYS,
    decision,
    holder,
    learn,
    loads,
    put_policy,
    put_rep,
    qualified,
    touched,
    waiting,
)

POOLS = 'pools: [{pool: sdr, reps: rep.role == "sdr"}]\n'


async def test_who_waits_is_routed_when_a_leave_ends_and_nothing_else_happens(routing: Actor) -> None:
    await put_rep(routing, "ana")
    await put_policy(routing, f"{POOLS}rules: [{{rule: rest, to: sdr}}]")
    async with routing.database.reading() as conn:
        now = await times.now(conn)
    end = now + timedelta(seconds=3)
    leave = {"start": times.text(now - timedelta(hours=1)), "end": times.text(end)}
    assert (await routing.http.post("/v1/reps/ana/time-off", json=leave)).status_code == 201
    lead = ids.new()
    await learn(routing, "qualification", qualified(lead))
    assert await waiting(routing) == {str(lead): "nobody_working"}

    async def routed() -> None:
        assert await holder(routing, lead) == "ana"

    await eventually(routed)
    at = times.parse((await routing.http.get(f"/v1/leads/{lead}/assignment")).json()["assigned_at"])
    assert timedelta() <= at - end < timedelta(seconds=1)


async def test_nothing_is_given_in_the_last_minutes_of_a_day(routing: Actor) -> None:
    async with routing.database.reading() as conn:
        now = await times.now(conn)
    start, end = (f"{now + timedelta(minutes=minutes):%H:%M}" for minutes in (-60, 30))
    await put_rep(routing, "ana", working_hours=[{"days": DAYS, "start": start, "end": end}])
    await put_policy(routing, f"{POOLS}rules: [{{rule: rest, to: sdr}}]\nnot_before_close: 10h")
    lead = ids.new()
    await learn(routing, "qualification", qualified(lead))
    assert await waiting(routing) == {str(lead): "nobody_working"}
    (thought,) = (await decision(routing, lead))["considered"]
    assert thought["reason"] == "off_hours"
    await put_policy(routing, f"{POOLS}rules: [{{rule: rest, to: sdr}}]\nnot_before_close: 1m")
    assert await holder(routing, lead) == "ana"


async def test_a_newcomer_gets_a_share_of_a_turn(routing: Actor) -> None:
    for rep_id in ("ana", "ben", "new"):
        await put_rep(routing, rep_id)
    async with routing.database.transaction() as conn:
        await conn.execute("UPDATE rep SET joined_at = now() - interval '1 year' WHERE rep_id <> 'new'")
    await put_policy(routing, f"{POOLS}rules: [{{rule: rest, to: sdr}}]\nramp: {{weeks: 4, start: 25%}}")
    await learn(routing, "qualification", *(qualified(ids.new()) for _ in range(90)))
    assert await loads(routing) == {"ana": 40, "ben": 40, "new": 10}


async def test_a_fallback_waits_for_the_pools_own_hours(routing: Actor) -> None:
    async with routing.database.reading() as conn:
        now = await times.now(conn)
    tomorrow = (now + timedelta(days=1)).strftime("%a").lower()
    await put_rep(routing, "ana", working_hours=[{"days": [tomorrow], "start": "10:00", "end": "11:00"}])
    await put_rep(routing, "zoe", team="night")
    pools = 'pools: [{pool: day, reps: rep.team == "north"}, {pool: night, reps: rep.team == "night"}]'
    rule = "{rule: all, to: day, fallback: night, after: 30m, hours: pool}"
    await put_policy(routing, f"{pools}\nrules: [{rule}]")
    lead = ids.new()
    await learn(routing, "qualification", qualified(lead))
    (item,) = (await routing.http.get("/v1/waiting")).json()["items"]
    opening = times.parse(f"{(now + timedelta(days=1)).date()}T10:00:00Z")
    assert times.parse(item["retry_at"]) == opening, "ana is back before the fallback falls due"
    await routing.http.post("/v1/reps/ana/pause")
    (item,) = (await routing.http.get("/v1/waiting")).json()["items"]
    assert times.parse(item["retry_at"]) == opening + timedelta(minutes=30)
    # Hours that never come are no time to wait for.
    await put_rep(routing, "ana", working_hours=[])
    (item,) = (await routing.http.get("/v1/waiting")).json()["items"]
    assert item["retry_at"] is None
    await put_policy(routing, f"{pools}\nrules: [{rule.replace('hours: pool', 'hours: wall').replace('30m', '1s')}]")

    async def fell_back() -> None:
        assert await holder(routing, lead) == "zoe"

    await eventually(fell_back)


async def test_who_does_not_accept_in_time_loses_the_lead_to_the_next(routing: Actor) -> None:
    await put_rep(routing, "ana")
    await put_policy(routing, f"{POOLS}rules: [{{rule: rest, to: sdr}}]\naccept_within: 2s")
    idle, taken, worked = ids.new(), ids.new(), ids.new()
    await learn(routing, "qualification", qualified(idle), qualified(taken), qualified(worked))
    ana = routing.as_role("sdr", rep="ana")
    assert (await ana.post(f"/v1/assignments/{taken}/accept")).status_code == 200
    await learn(routing, "intake", touched(worked))

    async def looked_for_another() -> None:
        assert await waiting(routing) == {str(idle): "no_match"}

    await eventually(looked_for_another)
    assert await holder(routing, idle) == "ana", "better late than with nobody"
    late = ids.new()
    await learn(routing, "qualification", qualified(late))

    async def looked_again() -> None:
        assert set(await waiting(routing)) == {str(idle), str(late)}

    await eventually(looked_again)
    # Better late than never: who answers keeps the lead that another was looked for.
    assert (await ana.patch(f"/v1/assignments/{late}", json={"status": "working"})).status_code == 200
    await put_rep(routing, "ben")
    assert [await holder(routing, lead) for lead in (idle, taken, worked, late)] == ["ben", "ana", "ana", "ana"]
    events = await routing.published(lambda seen: any(event.type == "AssignmentReleased" for event in seen))
    (released,) = [event.message for event in events if event.type == "AssignmentReleased"]
    assert (released.outcome, released.reason, released.released_by) == ("declined", "not_accepted", "routing")
