"""What is overdue, as after an outage: all that was due before a lead is taken away is told before."""

from collections.abc import Sequence
from datetime import timedelta

from backbone import ids
from backbone.envelope import Incoming
from backbone.testing.stage import Actor
from tests.shown import put
from tests.telling import learn, now, routed

POLICY = """
clocks:
  - {kind: first_response_5m, within: 1s, from: assignment}
  - {kind: first_response_30m, within: 1s, from: assignment}
escalations:
  - {kind: first_response_5m, after: 1s, to: rep}
  - {kind: first_response_5m, after: 2s, to: rep}
  - {kind: first_response_5m, after: 3s, to: manager}
  - {kind: first_response_30m, after: 4s, to: reassign}
"""


def escalated(seen: Sequence[Incoming]) -> list[str]:
    return [event.message.alert.to for event in seen if event.type == "SlaEscalated"]  # type: ignore[attr-defined]


async def test_another_clocks_escalations_that_were_due_before_leave_before_a_lead_is_taken_away(sla: Actor) -> None:
    await put(sla, POLICY)
    a_minute_ago = now() - timedelta(minutes=1)
    # By the second one it is known that all is read up to a minute ago.
    for count in (1, 2):
        await learn(sla, "routing", routed(ids.new(), a_minute_ago))
        told = await sla.published(lambda seen, count=count: len(escalated(seen)) == 4 * count)
        assert escalated(told)[-4:] == ["rep", "rep", "manager", "reassign"]
