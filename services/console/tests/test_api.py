"""The console's doors: keys, accounts, sessions, and who may see what."""

from collections.abc import Awaitable, Callable
from typing import Any
from uuid import UUID

import httpx

from backbone.envelope import Incoming
from backbone.testing import eventually
from backbone.testing.stage import Actor, Stage
from console import store_pages
from handoff.events.v1 import common_pb2, qualification_pb2, routing_pb2

StartConsole = Callable[..., Awaitable[Actor]]
PASSWORD = "a long enough password"


async def account(actor: Actor, email: str, role: str, rep_id: str | None = None) -> None:
    body = {"email": email, "name": email.partition("@")[0].title(), "role": role, "password": PASSWORD}
    made = await actor.http.post("/v1/accounts", json={**body, **({"rep_id": rep_id} if rep_id else {})})
    assert made.status_code == 201, made.text


async def signed_in(actor: Actor, email: str, password: str = PASSWORD) -> httpx.AsyncClient:
    client = actor.as_nobody()
    answer = await client.post("/signin", json={"email": email, "password": password})
    assert answer.status_code == 200, answer.text
    return client


async def test_the_first_admin_signs_in_and_lets_a_rep_sign_in(console: StartConsole) -> None:
    actor = await console(admin_email="Admin@Kestrel.example", admin_password=PASSWORD)
    admin = await signed_in(actor, "admin@kestrel.example")
    cookie = next(iter(admin.cookies.jar))
    assert (cookie.has_nonstandard_attr("HttpOnly"), cookie.secure) == (True, False)
    await account(actor, "dana@kestrel.example", "rep", "dana")
    page: Any = {"Accept": "text/html"}
    dana = actor.as_nobody()
    lost = await dana.get("/inbox?grade=A1", headers=page)
    assert (lost.status_code, lost.headers["location"]) == (303, "/signin?next=%2Finbox%3Fgrade%3DA1")
    form = {"email": "DANA@kestrel.example ", "password": PASSWORD, "next": "/inbox?grade=A1"}
    found = await dana.post("/signin", data=form, headers=page)
    assert (found.status_code, found.headers["location"]) == (303, "/inbox?grade=A1")
    assert (await dana.get("/inbox", headers=page)).status_code == 200
    assert (await dana.post("/signout", headers=page)).status_code == 303
    assert (await dana.get("/inbox")).status_code == 401


async def test_who_guesses_passwords_waits_and_who_comes_from_elsewhere_is_refused(console: StartConsole) -> None:
    actor = await console()
    await account(actor, "dana@kestrel.example", "rep", "dana")
    thief = actor.as_nobody()
    wrong = {"email": "dana@kestrel.example", "password": "not this one"}
    answers = [(await thief.post("/signin", json=wrong)).status_code for _ in range(6)]
    assert answers == [401] * 5 + [429]
    # The right password waits as well, or it could be told from the wrong ones.
    late = await thief.post("/signin", json={**wrong, "password": PASSWORD})
    assert (late.status_code, late.headers["retry-after"].isdigit()) == (429, True)
    async with actor.database.transaction() as conn:
        await conn.execute("UPDATE signin_failure SET at = at - interval '1 hour'")
    dana = await signed_in(actor, "dana@kestrel.example")
    lead = "/leads/019a0000-0000-7000-8000-000000000000/accept"
    for elsewhere in ({"Sec-Fetch-Site": "cross-site"}, {"Origin": "https://evil.example"}):
        assert (await dana.post(lead, json={"cycle": 1}, headers=elsewhere)).json()["title"] == "Sent from another site"
    ours = {"Origin": actor.address}
    assert (await dana.post(lead, json={"cycle": 1}, headers=ours)).status_code == 404
    assert (await dana.post("/signout")).status_code == 204
    assert (await dana.get("/live")).status_code == 401
    changed = {"name": "Dana", "role": "rep", "rep_id": "dana", "password": "another long password"}
    again = await signed_in(actor, "dana@kestrel.example")
    assert (await actor.http.put("/v1/accounts/dana@kestrel.example", json=changed)).status_code == 200
    assert (await again.get("/live")).status_code == 401
    for bad in ("{", "[1]", '{"email": 1}', '{"email": "a@b.example", "password": "\\u0000"}'):
        assert (await thief.post("/signin", content=bad)).status_code in (400, 401, 422)


async def test_roles_open_their_own_doors_alone(console: StartConsole) -> None:
    actor = await console()
    page = {"Accept": "text/html"}
    marketing, rep = actor.as_role("marketing"), actor.as_role("rep", rep="dana")
    assert (await marketing.get("/inbox", headers=page)).status_code == 403
    assert (await marketing.get("/inbox")).json()["title"] == "Not yours to see"
    assert (await actor.as_service().get("/inbox")).status_code == 401
    assert (await actor.as_role("integration").get("/live")).status_code == 403
    for method, path in (("GET", "/v1/accounts"), ("POST", "/v1/accounts"), ("PUT", "/v1/accounts/a@b.example")):
        assert (await rep.request(method, path, json={})).status_code == 403
    lead = "019a0000-0000-7000-8000-000000000000"
    assert (await rep.post(f"/leads/{lead}/reassign", json={"cycle": 1})).status_code == 403
    assert (await marketing.post(f"/leads/{lead}/touch", json={})).status_code == 403
    assert (await actor.http.post("/me/pause", json={})).json()["title"] == "Not a rep"
    refused = await actor.http.post(
        "/v1/accounts", json={"email": "x", "name": "X", "role": "rep", "password": "short"}
    )
    assert {error["pointer"] for error in refused.json()["errors"]} == {"/email", "/password"}


async def test_a_key_is_issued_once_and_kept_nowhere_in_clear(console: StartConsole) -> None:
    actor = await console()
    ask: Any = {"json": {"name": "warehouse", "role": "integration"}, "headers": {"Idempotency-Key": "once"}}
    first, again = [await actor.http.post("/v1/keys", **ask) for _ in range(2)]
    assert (first.status_code, again.json()) == (201, first.json())
    assert len((await actor.http.get("/v1/keys")).json()["items"]) == 1
    async with actor.database.reading() as conn:
        kept = [str(dict(row)) for row in await conn.fetch("SELECT * FROM idempotency")]
    assert len(kept) == 1
    assert first.json()["key"] not in kept[0]


async def test_reports_count_in_a_zone_that_there_is(console: StartConsole) -> None:
    actor = await console()
    for zone in ("localtime", "../etc/passwd", "Europe/Atlantis", ""):
        refused = await actor.http.put("/v1/settings/reporting", json={"zone": zone})
        assert (refused.status_code, refused.json()["errors"][0]["pointer"]) == (422, "/zone")
    said = {"zone": "Asia/Kolkata", "week_starts": "sun", "base_currency": "EUR"}
    assert (await actor.http.put("/v1/settings/reporting", json=said)).json() == {**said, "version": 1}
    await actor.published(lambda seen: any(event.type == "SettingsChanged" for event in seen))


POLICY = """
pools: [{pool: sdr, reps: rep.role == "sdr", strategy: least_loaded}]
rules: [{rule: everyone, to: sdr}]
"""
WEEK = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"]


async def put_rep(routing: Actor, rep_id: str) -> None:
    hours = [{"days": WEEK, "start": "00:00", "end": "24:00"}]
    body = {"name": rep_id.title(), "email": f"{rep_id}@kestrel.example", "team": "north", "role": "sdr"}
    answer = await routing.http.put(
        f"/v1/reps/{rep_id}", json={**body, "time_zone": "Europe/Berlin", "working_hours": hours}
    )
    assert answer.status_code == 200, answer.text


async def test_actions_reach_the_services_in_the_persons_name_and_only_for_what_was_read(
    start: Stage, console: StartConsole
) -> None:
    routing, intake = await start("routing"), await start("intake")
    actor = await console(routing_url=routing.address, intake_url=intake.address)
    await put_rep(routing, "dana")
    assert (await routing.http.put("/v1/policy", content=POLICY)).status_code == 200
    sent = {"email": "amara@fintrove.example", "company": "Fintrove", "first_name": "Amara"}
    lead = UUID((await intake.http.post("/v1/leads", json=sent)).json()["lead_id"])
    stamp = common_pb2.Stamp(lead_id=str(lead), live=True)
    qualified = qualification_pb2.LeadQualified(stamp=stamp, qualification=common_pb2.Qualification(stage="mql"))
    await actor.publish("qualification", [(lead, qualified)])
    dana = actor.as_role("rep", rep="dana", sub="dana@kestrel.example")

    async def holder(rep: str) -> int:
        async with actor.database.reading() as conn:
            rows = await store_pages.rows(conn, rep)
        assert [row.lead_id for row in rows] == [lead]
        return rows[0].cycle

    cycle = await eventually(lambda: holder("dana"))
    # The console may not know yet that the lead has moved on; routing does.
    straight = routing.as_role("rep", rep="dana")
    assert (await straight.post(f"/v1/assignments/{lead}/accept", json={"cycle": cycle + 1})).status_code == 409
    accept = {"json": {"cycle": cycle}, "headers": {"Idempotency-Key": "once"}}
    first, again = [await dana.post(f"/leads/{lead}/accept", **accept) for _ in range(2)]
    assert (first.status_code, first.json()["state"]) == (200, "accepted")
    assert again.json() == first.json()
    moved = await dana.post(f"/leads/{lead}/accept", json={"cycle": cycle + 1})
    assert (moved.status_code, moved.json()["title"]) == (409, "Not accepted")
    form = {"kind": "call", "outcome": "connected", "cycle": str(cycle), "note": "", "back": "/inbox?due=all"}
    touched = await dana.post(f"/leads/{lead}/touch", data=form, headers={"Accept": "text/html"})
    assert (touched.status_code, touched.headers["location"]) == (303, "/inbox?due=all")
    events = await intake.published(lambda seen: any(event.type == "TouchRecorded" for event in seen))
    message: Any = next(event.message for event in events if event.type == "TouchRecorded")
    assert (message.rep_id, message.kind, message.outcome) == ("dana", "call", "connected")
    declined = await dana.post(f"/leads/{lead}/decline", json={"cycle": cycle, "reason": "no_need"})
    assert (declined.status_code, declined.json()["title"]) == (409, "Accepted already")
    await put_rep(routing, "cem")
    returned = await dana.post(f"/leads/{lead}/return", json={"cycle": cycle, "reason": "no_need"})
    assert returned.status_code == 200
    assert await eventually(lambda: holder("cem")) == cycle + 1
    refused = await dana.post(f"/leads/{lead}/accept", json={"cycle": cycle})
    assert refused.status_code == 409
    assert refused.json()["detail"].startswith("Cem took this lead at ")
    never = await actor.as_role("rep", rep="eve").post(f"/leads/{lead}/accept", json={"cycle": cycle + 1})
    assert never.status_code == 403
    assert (await dana.post("/me/pause")).json()["did"] == "pause"

    def is_paused(event: Incoming) -> bool:
        return isinstance(event.message, routing_pb2.RepChanged) and event.message.rep.paused

    await routing.published(lambda seen: any(is_paused(event) for event in seen))
    await routing.stop()
    away = await actor.http.post(f"/leads/{lead}/accept", json={"cycle": cycle + 1})
    assert (away.status_code, away.headers["retry-after"]) == (503, "1")
