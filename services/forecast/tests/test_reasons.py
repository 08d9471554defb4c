"""Reasons are told as codes; the words that people typed stay here, and go with the lead's personal data."""

from typing import Any
from uuid import UUID

from backbone import ids, reasons
from handoff.events.v1 import common_pb2, intake_pb2, qualification_pb2

WORDS = "Frau Maria Schmidt +49 170 1234567"


async def history(company: Any, deal: str) -> list[tuple[str | None, str | None]]:
    """Return why a deal moved, newest first: codes, and words."""
    shown = (await company.http.get(f"/v1/opportunities/{deal}")).json()
    return [(move["reason"], move["words"]) for move in shown["history"]]


async def told(company: Any, lead: UUID, count: int) -> list[str]:
    """Return the reasons of the deals that the lead lost, and look that no event has the words."""
    lost = [message.reason for message in await company.told("OpportunityLost", lead, count)]
    moved = await company.told("OpportunityMoved", lead, count)
    assert not any(WORDS.encode() in message.SerializeToString() for message in moved)
    assert [message.reason for message in moved] == lost
    return lost


async def test_words_are_told_as_other_and_stay_with_the_move_until_the_lead_is_erased(company: Any) -> None:
    lead, name = ids.new(), f"crm-{ids.new()}"
    await company.tell("intake", company.captured(lead))
    assert (await company.move(f"external:{name}", stage="lost", reason=WORDS))["outcome"] == "held"
    first = await company.open(lead_id=str(lead), external_id=name)
    second = await company.open(lead_id=str(lead))
    moved = await company.move(second["opportunity_id"], stage="lost", reason=WORDS)
    assert (first["reason"], moved["reason"]) == ("other", "other")
    assert await told(company, lead, 2) == ["other", "other"]
    deals = [deal["opportunity_id"] for deal in (first, second)]
    assert [await history(company, deal) for deal in deals] == [[("other", WORDS)]] * 2
    erased = intake_pb2.PersonalDataErased(stamp=company.stamp(lead), erasure_id=str(ids.new()))
    await company.tell("intake", (lead, erased))
    assert [await history(company, deal) for deal in deals] == [[("other", None)]] * 2


async def test_the_codes_in_force_are_those_that_qualification_told_last(company: Any) -> None:
    async def put(*codes: str) -> None:
        message = qualification_pb2.ReasonsChanged(stamp=common_pb2.Stamp(live=True), codes=codes)
        await company.tell("qualification", (ids.derived("reasons", "all"), message))

    async def lost(reason: str) -> str:
        deal = await company.open()
        return str((await company.move(deal["opportunity_id"], stage="lost", reason=reason))["reason"])

    try:
        assert [await lost(one) for one in ("no_budget", "next_year")] == ["no_budget", "other"]
        await put("spam", "other")
        await put("next_year", "other")
        assert [await lost(one) for one in ("no_budget", "next_year")] == ["other", "next_year"]
    finally:
        await put(*reasons.SHIPPED)
