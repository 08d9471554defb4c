"""A browser before a whole house: every service in the test's process, one rep signed in, real servers behind."""

import asyncio
import os
import shutil
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import pytest
from playwright.async_api import Browser, BrowserContext, Page, async_playwright

from backbone.testing import eventually
from backbone.testing.servers import Servers
from backbone.testing.signer import Signer
from backbone.testing.stage import Actor, Stage

NAMES: Final = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "microsoft-edge")
CLOSE_S: Final = 20.0
PASSWORD: Final = "a long enough password"
MODULES: Final = Path(__file__).parents[2] / "node_modules"
DEFINITION: Final = """
required: [email, company]
fit: [{rule: mid-market, when: lead.employees >= 100, points: 40}]
buying_signals: [demo_requested]
bands: {fit: {A: 40, C: 0}, interest: {1: 50, 3: 0}}
matrix: {A1: pass, A3: pass, C1: nurture, C3: nurture}
"""
POLICY: Final = """
pools: [{pool: sdr, reps: rep.role == "sdr", strategy: least_loaded}]
rules: [{rule: everyone, to: sdr}]
"""
WEEK: Final = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"]


def find_chromium() -> str | None:
    """Return the browser of this machine, or the one that HANDOFF_CHROMIUM names."""
    return os.environ.get("HANDOFF_CHROMIUM") or next((path for name in NAMES if (path := shutil.which(name))), None)


@pytest.fixture(scope="session")
async def browser() -> AsyncIterator[Browser]:
    """Chromium of this machine."""
    path = find_chromium()
    if path is None:
        pytest.skip("no Chromium here: install Debian's package chromium, or name one in HANDOFF_CHROMIUM")
    playwright = await async_playwright().start()
    opened = await playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
    yield opened
    await asyncio.wait_for(opened.close(), CLOSE_S)
    await asyncio.wait_for(playwright.stop(), CLOSE_S)


@dataclass(slots=True)
class House:
    """The running services, and what the browser complained of."""

    services: dict[str, Actor]
    browser: Browser
    complaints: list[str] = field(default_factory=list)
    foreign: list[str] = field(default_factory=list)
    contexts: list[BrowserContext] = field(default_factory=list)

    @property
    def url(self) -> str:
        """Return the console's address."""
        return self.services["console"].address

    async def page(self, **options: Any) -> Page:
        """Return a page of a browser of its own, whose complaints are kept."""
        context = await self.browser.new_context(base_url=self.url, **options)
        self.contexts.append(context)
        page = await context.new_page()
        page.on("console", lambda said: self.complaints.append(said.text) if said.type == "error" else None)
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("request", lambda asked: None if asked.url.startswith(self.url) else self.foreign.append(asked.url))
        return page

    async def close_pages(self) -> None:
        """Close what was opened."""
        while self.contexts:
            await asyncio.wait_for(self.contexts.pop().close(), CLOSE_S)

    async def sign_in(self, page: Page, path: str = "/inbox") -> None:
        """Sign the rep in at the form, on the way to a page."""
        await page.goto(path)
        await page.get_by_label("Work e-mail").fill("dana@kestrel.example")
        await page.get_by_label("Password").fill(PASSWORD)
        await page.get_by_role("button", name="Sign in").click()
        await page.wait_for_url(f"**{path}")

    async def is_live(self, page: Page) -> None:
        """Wait until the stream has spoken."""
        await page.locator("#live[data-heard]").wait_for(state="attached")

    async def post_lead(self, name: str = "Amara Nwosu", **more: Any) -> str:
        """Post a qualified lead to intake and return its id."""
        first, last = name.split()
        body = {"email": f"{first}.{last}@fintrove.example".lower(), "first_name": first, "last_name": last}
        body |= {"company": "Fintrove", "employees": 340, "country": "DE", "job_title": "CFO"}
        answer = await self.services["intake"].http.post("/v1/leads", json={**body, "source": "website", **more})
        assert answer.status_code == 202, answer.text
        return str(answer.json()["lead_id"])

    async def clocks(self, policy: str) -> None:
        """Put another SLA policy."""
        answer = await self.services["sla"].http.put("/v1/policies/standard", content=policy)
        assert answer.status_code == 200, answer.text


@pytest.fixture(scope="module")
async def house(
    servers: Servers, signer: Signer, browser: Browser, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[House]:
    """The services that a lead passes on its way to the inbox, with one rep, a definition and a policy."""
    start = Stage(servers, signer)
    names = ("intake", "qualification", "routing", "sla")
    actors = {name: await start(name) for name in names}
    addresses = {f"{name}_url": actors[name].address for name in names}
    actors["console"] = await start(
        "console", signing_key=signer.pem(tmp_path_factory.mktemp("keys") / "key.pem"), **addresses
    )
    made = House(actors, browser)
    await _furnish(made)
    yield made
    await made.close_pages()
    await asyncio.wait_for(start.close(), 2 * CLOSE_S)


async def _furnish(house: House) -> None:
    hours = [{"days": WEEK, "start": "00:00", "end": "24:00"}]
    rep = {"name": "Dana Okafor", "email": "dana@kestrel.example", "team": "north", "role": "sdr"}
    routing, qualification = house.services["routing"].http, house.services["qualification"]
    rep |= {"time_zone": "Europe/Berlin", "working_hours": hours}
    assert (await routing.put("/v1/reps/dana", json=rep)).status_code == 200
    assert (await routing.put("/v1/policy", content=POLICY)).status_code == 200
    await qualification.http.post("/v1/definitions/saas", content=DEFINITION)
    for role, party in (("marketing", "marketing"), ("manager", "sales")):
        signing = qualification.as_role(role, sub=role)
        assert (await signing.post("/v1/definitions/saas/1/sign", json={"party": party})).is_success
    assert (await qualification.http.post("/v1/definitions/saas/1/activate")).status_code == 200
    account = {"email": "dana@kestrel.example", "name": "Dana Okafor", "role": "sdr", "rep_id": "dana"}
    made = await house.services["console"].http.post("/v1/accounts", json={**account, "password": PASSWORD})
    assert made.status_code == 201, made.text

    async def known() -> None:
        async with house.services["console"].database.reading() as conn:
            assert await conn.fetchval("SELECT count(*) FROM rep") == 1

    await eventually(known)
