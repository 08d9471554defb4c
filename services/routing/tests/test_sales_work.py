"""What is ready for sales goes to sales, whoever of the SDRs has the account or hosts the meeting."""

import pytest

from backbone import ids
from backbone.testing.stage import Actor, Stage
from services.routing.tests.desk import booked, fields, holder, learn, put, put_policy, put_rep, qualified

POLICY = """
pools: [{pool: sdr, reps: rep.role == "sdr"}, {pool: sales, reps: rep.role == "sales"}]
rules:
  - {rule: owner, to: owner}
  - {rule: host, to: host}
  - {rule: ready, when: lead.stage == "srl", to: sales}
  - {rule: rest, to: sdr}
"""


@pytest.fixture
async def routing(start: Stage) -> Actor:
    actor = await start("routing")
    await put_policy(actor, POLICY)
    for rep_id in ("ana", "ben"):
        await put_rep(actor, rep_id, email=f"{rep_id}@kestrel.example")
    for rep_id in ("yan", "zoe"):
        await put_rep(actor, rep_id, role="sales", email=f"{rep_id}@kestrel.example")
    return actor


@pytest.mark.parametrize(("rep_id", "is_sales"), [("ben", False), ("zoe", True)])
@pytest.mark.parametrize("named", ["owner", "host"])
async def test_whom_an_account_or_a_meeting_names_gets_what_is_their_roles_work(
    routing: Actor, named: str, rep_id: str, *, is_sales: bool
) -> None:
    lead, told = ids.new(), fields(account_domain="acme.example")
    if named == "owner":
        await put(routing, "/v1/named-accounts/acme.example", json={"rep_id": rep_id})
    else:
        await learn(routing, "intake", booked(lead, f"{rep_id}@kestrel.example"))
    await learn(routing, "qualification", qualified(lead, told=told))
    assert await holder(routing, lead) == rep_id
    await learn(routing, "qualification", qualified(lead, stage="srl", sdr_id="ana", told=told))
    assert (await holder(routing, lead) in ("yan", "zoe"), await holder(routing, lead) == rep_id) == (True, is_sales)
