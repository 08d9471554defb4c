"""However much is read at once, and whichever topic first: what was promised is what held as the lead came."""

from typing import Any
from uuid import UUID

import pytest

from backbone import ids, times
from handoff.events.v1 import intake_pb2
from tests.monitor import Monitor, at
from tests.telling import Told, captured, qualified, stamp

GERMAN = 'applies: lead.country == "DE"\nclocks: [{kind: first_response_5m, within: 30s, from: arrival}]'


def corrected(lead: UUID, **fields: Any) -> Told:
    """Somebody says two seconds later what it is, which came at `at(0)`."""
    message = intake_pb2.LeadUpdated(stamp=stamp(lead, at(2)))
    message.stamp.arrived_at.CopyFrom(times.stamp(at(0)))
    message.lead.created_at.CopyFrom(times.stamp(at(0)))
    for name, value in fields.items():
        setattr(message.lead, name, value)
    return lead, message


def qualified_since(lead: UUID, **fields: Any) -> Told:
    """Qualification saw what it was by then."""
    _, message = qualified(lead, at(3))
    message.stamp.arrived_at.CopyFrom(times.stamp(at(0)))
    for name, value in fields.items():
        setattr(message.lead, name, value)
    return lead, message


@pytest.mark.parametrize("read", ["one by one", "at once", "after qualification's word"])
@pytest.mark.parametrize(
    ("came", "then", "is_promised"), [("DE", "FR", True), ("FR", "DE", False)], ids=["out of it", "into it"]
)
async def test_a_lead_is_promised_what_applied_as_it_came_whatever_is_corrected_at_once(
    monitor: Monitor, read: str, came: str, then: str, is_promised: bool
) -> None:
    lead = ids.new()
    await monitor.put(GERMAN)
    told = [captured(lead, at(0), country=came), corrected(lead, country=then)]
    if read == "after qualification's word":
        await monitor.tell("qualification", qualified_since(lead, country=then))
    for some in [[one] for one in told] if read == "one by one" else [told]:
        await monitor.tell("intake", *some)
    assert bool(await monitor.states(lead)) == is_promised


@pytest.mark.parametrize("is_first", [False, True])
async def test_history_is_promised_what_applied_as_it_turned_into_news(monitor: Monitor, is_first: bool) -> None:
    lead = ids.new()
    await monitor.put(GERMAN)
    told = [captured(lead, at(0), live=False, country="FR"), corrected(lead, country="DE")]
    if is_first:
        await monitor.tell("qualification", qualified_since(lead, country="DE"))
    for one in told:
        await monitor.tell("intake", one)
    assert await monitor.states(lead)
