"""A machine whose clock is ten minutes off takes in, and lets in, by its database's time."""

import base64
import hmac
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

import httpx
import pytest
from standardwebhooks import Webhook

from backbone import database, ids, times
from backbone.testing import eventually
from backbone.testing.stage import Stage
from handoff_local import ports
from tests.failures.member import begin

HEALED_WITHIN_S: Final = 90.0
SECRET: Final = f"whsec_{base64.b64encode(b'a secret of this test, of 32 byte').decode()}"
BODY: Final = json.dumps({"type": "lead.created", "data": {"email": "e@f.example"}}).encode()


@dataclass(slots=True)
class Off:
    """lead-intake on such a machine."""

    stage: Stage
    address: str
    conn: Any
    hooks: dict[str, str]
    """By provider, where its webhooks go."""

    async def now(self) -> datetime:
        """Return the database's time."""
        return await self.conn.fetchval("SELECT clock_timestamp()")  # type: ignore[no-any-return]

    async def post(self, provider: str, headers: dict[str, str]) -> int:
        path = self.hooks[provider].removeprefix("http://intake.test")
        headers = {"content-type": "application/json", **headers}
        answer = await self.stage.client(self.address, None).post(path, content=BODY, headers=headers)
        return answer.status_code


@pytest.fixture(params=[-10, 10], ids=["behind", "ahead"])
async def off(stage: Stage, request: pytest.FixtureRequest) -> AsyncIterator[Off]:
    actor, port, hooks = await stage("intake"), ports.free(), {}
    for provider in ("hubspot-workflow", "standard-webhooks"):
        asked = {"provider": provider, "name": provider, "secret": SECRET}
        hooks[provider] = (await actor.http.post("/v1/connections", json=asked)).json()["hook_url"]
    settings = actor.settings.model_dump()
    await actor.stop()
    process = await begin("intake", settings, ahead_seconds=60 * request.param, port=port)
    conn = await database.connect_single(settings["database_url"], name="tests", idle_ms=0)
    made = Off(stage, f"http://127.0.0.1:{port}", conn, hooks)
    http = stage.client(made.address, None)

    async def is_ready() -> None:
        try:
            assert (await http.get("/readyz")).status_code == 200
        except httpx.TransportError as error:
            raise AssertionError("not there yet") from error

    await eventually(is_ready, patience_s=HEALED_WITHIN_S)
    yield made
    process.kill()
    await process.wait()
    await conn.close()


async def test_what_comes_in_came_when_the_database_says(off: Off) -> None:
    http = off.stage.client(off.address, off.stage.signer.token("integration", lasts_s=300))
    before = await off.now()
    answers = [
        await http.post("/v1/leads", json={"email": "a@b.example"}),
        await http.post("/v1/leads/batch", json={"leads": [{"email": "c@d.example"}]}),
        await http.post("/v1/touches", json={"email": "a@b.example", "rep_id": "ana", "kind": "call"}),
    ]
    assert [answer.status_code for answer in answers] == [202] * len(answers)
    told = await off.stage.tap("intake").until(lambda seen: len(seen) >= len(answers))
    after = await off.now()
    # It knows its database's time as well as an answer of that tells, which takes a while.
    slack = timedelta(seconds=5)
    for event in told:
        stamp = event.message.stamp  # type: ignore[attr-defined]
        for said in (stamp.occurred_at, stamp.arrived_at, stamp.recorded_at):
            assert before - slack < times.at(said) < after + slack


async def test_tokens_and_signatures_are_as_old_as_the_database_says(off: Off) -> None:
    over = off.stage.client(off.address, off.stage.signer.token("integration", lasts_s=-300))
    assert (await over.get("/v1/leads")).status_code == 401
    for minutes_ago, status in ((0, 202), (10, 401)):
        at = await off.now() - timedelta(minutes=minutes_ago)
        assert await off.post("hubspot-workflow", hubspot(off.hooks["hubspot-workflow"], at)) == status
        assert await off.post("standard-webhooks", standard(at)) == status


def hubspot(url: str, at: datetime) -> dict[str, str]:
    stamp = str(int(at.timestamp() * 1000))
    signed = b"POST" + url.encode() + BODY + stamp.encode()
    signature = base64.b64encode(hmac.digest(SECRET.encode(), signed, "sha256")).decode()
    return {"X-HubSpot-Signature-v3": signature, "X-HubSpot-Request-Timestamp": stamp}


def standard(at: datetime) -> dict[str, str]:
    message_id = str(ids.new())
    signature = Webhook(SECRET).sign(message_id, at, BODY.decode())
    stamp = str(int(at.timestamp()))
    return {"webhook-id": message_id, "webhook-timestamp": stamp, "webhook-signature": signature}
