"""What is overdue, as after an outage: all that was due before a lead is taken away is told before."""

from collections.abc import Sequence
from datetime import timedelta
from uuid import UUID

from backbone import ids
from backbone.envelope import Incoming
from backbone.testing import eventually
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
  - {kind: first_response_30m, after: 5s, to: manager}
"""
MARK = """
INSERT INTO unread SELECT 'another', number, now() - interval '1 hour', now() FROM generate_series(0, 1) AS one (number)
"""


def escalated(seen: Sequence[Incoming]) -> list[str]:
    return [event.message.alert.to for event in seen if event.type == "SlaEscalated"]  # type: ignore[attr-defined]


async def test_another_clocks_escalations_that_were_due_before_leave_before_a_lead_is_taken_away(sla: Actor) -> None:
    await put(sla, POLICY)
    before = now() - timedelta(seconds=30)
    # By the second one it is known that all is read up to then. What is told of the third waits to be read at first.
    for count in (1, 2, 3):
        if count == 3:
            await execute(sla, MARK)
        lead = ids.new()
        await learn(sla, "routing", routed(lead, before))
        if count == 3:
            await eventually(lambda lead=lead: are_put_off(sla, lead))
            await execute(sla, "DELETE FROM unread")
        told = await sla.published(lambda seen, count=count: len(escalated(seen)) == 5 * count)
        if count > 1:
            assert escalated(told)[-5:] == ["rep", "rep", "manager", "reassign", "manager"]


async def execute(sla: Actor, statement: str) -> None:
    async with sla.database.reading() as conn:
        await conn.execute(statement)


async def are_put_off(sla: Actor, lead: UUID) -> None:
    """All of a lead's clocks are asked again later."""
    async with sla.database.reading() as conn:
        query = "SELECT count(*) FROM clock WHERE lead_id = $1 AND next_at > due_at"
        assert await conn.fetchval(query, lead) == 2
