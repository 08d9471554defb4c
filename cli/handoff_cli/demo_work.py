"""How the demo's people work a lead: some call at once, some late, some never; a few become deals."""

import asyncio
import json
import random
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import typer

from handoff_cli.calling import Caller
from handoff_cli.demo_company import REPS, Rep
from handoff_cli.demo_people import AFTERWARDS, Visitor

LOOKS_FOR_A_REP: Final = 40
LOOK_AGAIN_S: Final = 0.5
CONNECTED: Final = 0.55
SALES_READY: Final = 0.4
CONFIRMED: Final = 0.8
WON: Final = 0.35
THINKING_S: Final = (20.0, 240.0)
_WANTS: Final = {
    "demo_requested": "asked for a demo",
    "contact_requested": "asked to be called",
    "form_submitted": "filled in a form",
    "pricing_viewed": "looked at the prices",
    "content_downloaded": "downloaded a paper",
}
_REPS: Final = {rep.rep_id: rep for rep in REPS}


def say(text: str) -> None:
    """Write a line of the log, as the services write theirs."""
    print(json.dumps({"event": text, "service": "demo", "timestamp": datetime.now(UTC).isoformat()}), flush=True)


class Play:
    """Plays everybody but one rep: whoever signs in as that one finds the clocks running."""

    def __init__(self, caller: Caller, chance: random.Random, *, away: str) -> None:
        self._caller = caller
        self._chance = chance
        self._away = away

    async def journey(self, who: Visitor) -> None:
        """Play one lead from its first click to whatever becomes of it. A refusal on the way ends it."""
        with suppress(typer.Exit):
            await self._play(who)

    async def _play(self, who: Visitor) -> None:
        lead_id = await self._arrive(who)
        rep = await self._rep_of(lead_id)
        if rep is None or rep.rep_id == self._away:
            return
        chance = self._chance
        if chance.random() > rep.care:
            return
        await asyncio.sleep(chance.uniform(*rep.pace_s))
        if not await self._touch(lead_id, rep, who):
            return
        await self._pause()
        if chance.random() < SALES_READY:
            await self._hand_over(lead_id, rep, who)
        elif chance.random() < 0.5:
            await self._post("routing", f"/v1/assignments/{lead_id}/close", {"outcome": "recycled", "reason": "timing"})

    async def _arrive(self, who: Visitor) -> str:
        chance, now = self._chance, datetime.now(UTC)
        lead: dict[str, Any] = await self._caller.ask("POST", "lead-intake", "/v1/leads", json=who.lead)
        lead_id = str(lead["lead_id"])
        say(f"{who.company}, {who.lead['job_title']}: {_WANTS[who.calls_in]} ({who.lead['source']})")
        for kind in who.before:
            at = now - timedelta(minutes=chance.uniform(2, 300))
            await self._engage(lead_id, kind, at)
        await self._engage(lead_id, who.calls_in, now)
        return lead_id

    async def _engage(self, lead_id: str, kind: str, at: datetime) -> None:
        body = {"lead_id": lead_id, "kind": kind, "occurred_at": at.isoformat()}
        await self._caller.ask("POST", "lead-intake", "/v1/engagements", json=body)

    async def _rep_of(self, lead_id: str, *, role: str = "sdr") -> Rep | None:
        """Return who has the lead, None when nobody gets it soon: it is nurtured, in review, or waits."""
        for _ in range(LOOKS_FOR_A_REP):
            answer = await self._caller.call("GET", "routing", f"/v1/leads/{lead_id}/assignment")
            if answer.status_code == 200:
                rep = _REPS.get(answer.json()["rep_id"])
                if rep is not None and rep.role == role:
                    return rep
            await asyncio.sleep(LOOK_AGAIN_S)
        return None

    async def _touch(self, lead_id: str, rep: Rep, who: Visitor) -> bool:
        """Accept and call; return whether somebody answered."""
        await self._post("routing", f"/v1/assignments/{lead_id}/accept", {})
        connected = self._chance.random() < CONNECTED
        said = {"rep_id": rep.rep_id, "kind": "call", "outcome": "connected" if connected else "attempted"}
        await self._post("lead-intake", "/v1/touches", {"lead_id": lead_id, **said})
        say(f"{rep.name} called {who.company}" + (", who answered" if connected else ", and got no answer"))
        if self._chance.random() < 0.5:
            await self._engage(lead_id, self._chance.choice(AFTERWARDS), datetime.now(UTC))
        return connected

    async def _hand_over(self, lead_id: str, sdr: Rep, who: Visitor) -> None:
        """Confirm what the SDR learned, and let sales go on."""
        yes = {name: {"answer": "yes"} for name in ("need", "timing", "budget")}
        await self._caller.call("PUT", "qualification", f"/v1/leads/{lead_id}/bant", json=yes)
        decided = {"decision": "accept", "reason": "other"}
        if not await self._post("qualification", f"/v1/leads/{lead_id}/decisions", decided):
            return
        sales = await self._rep_of(lead_id, role="sales")
        if sales is None:
            return
        say(f"{sdr.name} handed {who.company} to {sales.name}")
        await asyncio.sleep(self._chance.uniform(*sales.pace_s))
        if await self._touch(lead_id, sales, who) and self._chance.random() < CONFIRMED:
            await self._sell(lead_id, sales, who)

    async def _sell(self, lead_id: str, sales: Rep, who: Visitor) -> None:
        confirmed = {"decision": "confirm"}
        if not await self._post("qualification", f"/v1/leads/{lead_id}/sales-decision", confirmed, sales):
            return
        deals = await self._caller.ask("GET", "forecast", "/v1/opportunities", params={"lead_id": lead_id})
        if not deals["items"]:
            return
        moves = f"/v1/opportunities/{deals['items'][0]['opportunity_id']}/moves"
        amount = str(self._chance.randrange(8, 60) * 500)
        close = (datetime.now(UTC) + timedelta(days=self._chance.randrange(5, 60))).date().isoformat()
        worth = {"amount": amount, "currency": "USD", "close_date": close, "category": "commit"}
        await self._post("forecast", moves, worth)
        say(f"{sales.name} expects {amount} USD from {who.company}")
        await self._pause()
        won = self._chance.random() < WON
        await self._post("forecast", moves, {"stage": "won" if won else "lost"})
        say(f"{sales.name} {'won' if won else 'lost'} {who.company}")

    async def _pause(self) -> None:
        await asyncio.sleep(self._chance.uniform(*THINKING_S))

    async def _post(self, service: str, path: str, body: dict[str, Any], by: Rep | None = None) -> bool:
        """Post for somebody; return whether it was taken. Visitors of the demo may have been there first."""
        headers = self._caller.bearer("rep", by.rep_id) if by is not None else None
        answer = await self._caller.call("POST", service, path, json=body, headers=headers)
        return not answer.is_error
