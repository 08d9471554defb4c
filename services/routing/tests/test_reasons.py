"""Reasons are told as codes; the words that people typed stay here, and go with the lead's personal data."""

from typing import Any
from uuid import UUID

import pytest

from backbone import ids
from backbone.testing.stage import Actor, Stage
from handoff.events.v1 import common_pb2, intake_pb2, qualification_pb2
from services.routing.tests.desk import decision, learn, put_policy, put_rep, qualified, stamp

POLICY = """
pools: [{pool: sdr, reps: rep.role == "sdr"}]
rules: [{rule: everyone, to: sdr}]
"""
WORDS = "Frau Maria Schmidt +49 170 1234567"


@pytest.fixture
async def lead(routing: Actor) -> UUID:
    """A lead that ana has."""
    await put_policy(routing, POLICY)
    await put_rep(routing, "ana")
    return await given(routing)


async def given(routing: Actor) -> UUID:
    lead = ids.new()
    await learn(routing, "qualification", qualified(lead))
    return lead


async def end(routing: Actor, lead: UUID, how: str, reason: str = WORDS, **body: Any) -> None:
    path = "/v1/hand-over" if how == "hand-over" else f"/v1/assignments/{lead}/{how}"
    answer = await routing.http.post(path, json={"reason": reason, **body})
    assert answer.status_code == 200, answer.text


async def released(routing: Actor, lead: UUID) -> str:
    """Return the reason that was told of the lead's last release, after a look at all that was told of anything."""

    def is_told(event: Any) -> bool:
        return event.type == "AssignmentReleased" and event.subject == lead

    events = await routing.published(lambda seen: any(map(is_told, seen)))
    assert not any(WORDS.encode() in event.message.SerializeToString() for event in events)
    return str([event.message.reason for event in events if is_told(event)][-1])


async def ended(routing: Actor, lead: UUID) -> Any:
    items = (await routing.http.get(f"/v1/leads/{lead}/decisions")).json()["items"]
    return items[-1]["ended"]


ENDS: dict[str, dict[str, Any]] = {
    "decline": {},
    "close": {"outcome": "disqualified"},
    "reassign": {"rep_id": "ben"},
    "hand-over": {"from": "ana", "to": "ben"},
}


@pytest.mark.parametrize("how", ENDS)
async def test_words_are_told_as_other_and_stay_with_what_they_ended_until_the_lead_is_erased(
    routing: Actor, lead: UUID, how: str
) -> None:
    await put_rep(routing, "ben")
    assert (await decision(routing, lead))["ended"] is None
    await end(routing, lead, how, **ENDS[how])
    assert await released(routing, lead) == "other"
    kept = await ended(routing, lead)
    assert (kept["reason"], kept["words"]) == ("other", WORDS)
    erasure = intake_pb2.PersonalDataErased(stamp=stamp(lead), erasure_id=str(ids.new()))
    await learn(routing, "intake", (lead, erasure))
    kept = await ended(routing, lead)
    assert (kept["reason"], kept["words"]) == ("other", None)


async def test_words_of_a_hand_over_that_waits_for_room_are_not_told_either(routing: Actor, lead: UUID) -> None:
    await end(routing, lead, "hand-over", **{"from": "ana", "to": "policy"})
    await put_rep(routing, "ben")
    assert await released(routing, lead) == "other"
    assert (await ended(routing, lead))["words"] == WORDS


async def test_an_accepted_lead_is_returned_for_a_code_or_for_none(routing: Actor, lead: UUID) -> None:
    other = await given(routing)
    for one, reason in ((lead, "timing"), (other, "")):
        assert (await routing.http.post(f"/v1/assignments/{one}/accept")).status_code == 200
        await end(routing, one, "return", reason)
    assert [await released(routing, one) for one in (lead, other)] == ["timing", "other"]
    assert [(await ended(routing, one))["words"] for one in (lead, other)] == [None, None]


async def test_the_codes_in_force_are_those_that_qualification_told_last_on_every_replica(
    routing: Actor, lead: UUID, start: Stage
) -> None:
    second = await start("routing", database_url=routing.settings.database_url)
    later = [await given(routing) for _ in range(3)]
    await end(routing, lead, "close", "next_year")
    assert await released(routing, lead) == "other", "not a code that is shipped"
    for codes in (["spam", "other"], ["next_year", "other"]):
        message = qualification_pb2.ReasonsChanged(stamp=common_pb2.Stamp(live=True), codes=codes)
        await learn(routing, "qualification", (ids.derived("reasons", "all"), message))
    for one, replica, reason in zip(later, (routing, second, routing), ("next_year", "next_year", "spam"), strict=True):
        await end(replica, one, "close", reason)
    assert [await released(routing, one) for one in later] == ["next_year", "next_year", "other"]
