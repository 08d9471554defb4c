"""Who was merged into whom is the same in every service, whichever of its partitions was read first."""

from typing import Any
from uuid import UUID

from backbone import ids
from backbone.testing.ledger import Ledger, read, touch
from backbone.testing.stage import Stage
from handoff.events.v1 import common_pb2, intake_pb2, qualification_pb2


def demoted(lead_id: UUID) -> tuple[UUID, Any]:
    return lead_id, qualification_pb2.LeadDemoted(stamp=common_pb2.Stamp(lead_id=str(lead_id)))


async def test_a_link_moves_later_records_of_the_merged_lead_to_the_survivor(start: Stage) -> None:
    actor = await start.bare("routing", Ledger().compose)
    survivor, merged = ids.new(), ids.new()
    link = intake_pb2.LeadMerged(survivor_id=str(survivor), merged_id=str(merged))
    await start.publish("intake", [touch(merged, "before"), (survivor, link)])
    await actor.settled()
    await start.publish("qualification", [demoted(merged)])
    await actor.settled()
    assert (await read(actor.database))[-1] == (survivor, "LeadDemoted")


async def test_leads_that_were_grouped_anew_are_so_though_one_of_them_is_read_much_later(start: Stage) -> None:
    """X is merged into Y and Y into Z; then X and Y are parted from Z, and Y is merged into X, which is older."""
    actor = await start.bare("routing", Ledger().compose)
    x, y, z = (ids.new() for _ in range(3))

    def link(survivor: UUID, merged: UUID, version: int) -> intake_pb2.LeadMerged:
        return intake_pb2.LeadMerged(survivor_id=str(survivor), merged_id=str(merged), merged_version=version)

    part = intake_pb2.LeadUnmerged(survivor_id=str(z), unmerged_id=str(x), unmerged_version=2)
    told = {
        y: [link(y, x, 1), link(z, y, 2), link(x, y, 3)],
        x: [link(y, x, 1), part, link(x, y, 3)],
        z: [link(z, y, 2), part],
    }
    for key, messages in told.items():
        await start.publish("intake", [(key, message) for message in messages])
        await actor.settled()
    await start.publish("qualification", [demoted(lead) for lead in (x, y, z)])
    await actor.settled()
    got = [lead for lead, note in await read(actor.database) if note == "LeadDemoted"]
    assert sorted(got) == sorted([x, x, z])
