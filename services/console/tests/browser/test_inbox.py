"""What a rep sees and does: a lead comes by itself, is taken and touched by key, and its clock tells the truth."""

import json
from typing import Any, Final
from uuid import UUID

from playwright.async_api import Page, expect

from backbone.testing import eventually

from .conftest import MODULES, House

MOST_BYTES: Final = 100_000
AN_HOUR_WRONG: Final = "const real = Date.now; Date.now = () => real() + 3600e3;"
SHIFTS: Final = """
window.shifts = [];
new PerformanceObserver((list) => {
  for (const one of list.getEntries()) {
    const what = one.sources.map(({ node }) => (node?.outerHTML ?? node?.parentElement?.outerHTML)?.slice(0, 160));
    if (!one.hadRecentInput) window.shifts.push(what);
  }
}).observe({ type: "layout-shift", buffered: true });
"""
SHORT: Final = """
clocks:
  - {kind: first_response_5m, within: 5s, from: assignment}
  - {kind: first_response_30m, within: 30m, from: assignment}
"""
# A row is read as its name, company, grade and what is left; the ticking text that is seen beside is not a label.
AXE: Final = {
    "runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"],
    "rules": {"label-content-name-mismatch": {"enabled": False}},
}


async def weight(page: Page) -> int:
    """Return how many bytes of scripts and styles the page's first load took."""
    script = """() => performance.getEntriesByType("resource")
      .filter((one) => /\\.(js|css)(\\?|$)/.test(one.name)).reduce((sum, one) => sum + one.encodedBodySize, 0)"""
    return int(await page.evaluate(script))


async def faults(page: Page) -> list[Any]:
    """Return what axe finds on the page: contrast, target sizes, names, landmarks."""
    await page.evaluate((MODULES / "axe-core" / "axe.min.js").read_text())
    found = await page.evaluate(f"axe.run(document, {json.dumps(AXE)})")
    return [(one["id"], [node["target"] for node in one["nodes"]]) for one in found["violations"]]


async def test_a_lead_comes_to_the_open_inbox_by_itself_and_a_call_logged_by_key_stops_its_clock(
    house: House,
) -> None:
    page = await house.page(color_scheme="light", viewport={"width": 1440, "height": 900})
    await page.add_init_script(SHIFTS)
    await house.sign_in(page)
    await house.is_live(page)
    assert 0 < await weight(page) < MOST_BYTES
    await expect(page.get_by_role("heading", name="Your first lead will appear here by itself")).to_be_visible()

    first_id = await house.post_lead("Henrik Lindqvist")
    await page.locator(f"#lead-{first_id}").wait_for()
    lead_id = await house.post_lead()
    row = page.locator(f"#lead-{lead_id}")
    await row.wait_for()
    await expect(row).to_contain_text("Amara Nwosu")
    await expect(page.locator("#count-inbox")).to_have_text("2")

    # Accepting stops no clock, a touch does. `n` goes to the newest; then a, l, Enter, Enter.
    await page.keyboard.press("n")
    await expect(page.locator("#panel h2.name")).to_have_text("Amara Nwosu")
    await expect(page.locator("#panel").get_by_role("button", name="Accept")).to_be_visible()
    await page.keyboard.press("a")
    await expect(page.locator("#panel").get_by_role("button", name="Accept")).to_have_count(0)
    assert await row.locator(".clock").get_attribute("data-look") == "running"
    await page.keyboard.press("l")
    await page.keyboard.press("Enter")
    await page.keyboard.press("Enter")
    await expect(row.locator(".clock")).to_have_attribute("data-look", "met")
    # The tick was seen; what nothing runs for leaves the list of what is due.
    await expect(row).to_have_count(0, timeout=10_000)

    assignment = await house.services["routing"].http.get(f"/v1/leads/{lead_id}/assignment")
    assert assignment.json()["state"] == "accepted"
    await house.services["intake"].published(lambda events: any(one.type.endswith("TouchRecorded") for one in events))
    assert (house.complaints, house.foreign) == ([], [])
    assert await page.evaluate("window.shifts") == []


async def test_both_themes_of_inbox_and_lead_are_clean_for_axe_on_a_desk_and_in_a_hand(house: House) -> None:
    lead_id = await house.post_lead("Luca Moretti")
    await house.services["intake"].http.post("/v1/engagements", json={"lead_id": lead_id, "kind": "demo_requested"})
    page = await house.page()
    await house.sign_in(page)
    for path, shown in (("/inbox", f"#lead-{lead_id}"), (f"/leads/{lead_id}", "#journey-list .mine")):
        await page.goto(path)
        await page.locator(shown).wait_for()
        await house.is_live(page)
        for width, height in ((1440, 900), (390, 844)):
            await page.set_viewport_size({"width": width, "height": height})
            for scheme in ("light", "dark"):
                await page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
                assert await faults(page) == [], (path, width, scheme)
            over = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
            assert await page.evaluate(over) <= 0, (path, width)
    assert (house.complaints, house.foreign) == ([], [])


async def test_a_clock_runs_out_and_is_missed_by_the_servers_time_though_the_computers_is_an_hour_wrong(
    house: House,
) -> None:
    await house.clocks(SHORT)
    page = await house.page(color_scheme="dark", viewport={"width": 1440, "height": 900})
    await page.add_init_script(AN_HOUR_WRONG)
    await house.sign_in(page)
    await house.is_live(page)
    lead_id = await house.post_lead("Daniel Osei")
    clock = page.locator(f"#lead-{lead_id} .clock")
    looks = []

    async def missed() -> None:
        look = await clock.get_attribute("data-look")
        if look not in looks[-1:]:
            looks.append(look)
        assert look == "missed"

    await eventually(missed)
    assert [look for look in looks if look != "running"] == ["short", "missed"]
    await expect(clock.locator(".text")).to_have_text("+1s")
    await expect(page.locator("section[data-group=missed] h2")).to_contain_text("30-minute window ends")
    assert await page.evaluate("document.querySelector('#shout').textContent") != ""


async def test_what_is_typed_stays_while_the_lead_changes(house: House) -> None:
    lead_id = await house.post_lead("Sofie Janssens")
    page = await house.page(viewport={"width": 1440, "height": 900})
    await house.sign_in(page)
    await page.locator(f"#lead-{lead_id}").wait_for()
    await page.goto(f"/leads/{lead_id}")
    await house.is_live(page)
    note = page.get_by_label("Note, optional")
    await note.fill("asked for a call on")
    number = page.locator('[data-journey="all"]')
    before = await number.inner_text()
    body = {"lead_id": lead_id, "kind": "webinar_attended"}
    assert (await house.services["intake"].http.post("/v1/engagements", json=body)).status_code == 202
    # The line comes by the stream, then the page reads itself again.
    await expect(page.locator("#journey-list")).to_contain_text("Webinar attended")
    await expect(number).not_to_have_text(before)
    await page.keyboard.type(" Friday")
    await expect(note).to_have_value("asked for a call on Friday")
    await expect(note).to_be_focused()


async def test_a_refusal_is_said_in_place_and_no_act_reaches_another_lead_than_the_one_read(house: House) -> None:
    lead_id, other_id = await house.post_lead("Yuki Sato"), await house.post_lead("Claire Dubois")
    page = await house.page(viewport={"width": 1440, "height": 900})
    # This tab hears nothing, so that it shows what is no longer so.
    await page.route("**/live?*", lambda route: route.abort())
    await house.sign_in(page)

    async def listed() -> None:
        await page.reload()
        assert await page.locator(f"#lead-{lead_id}, #lead-{other_id}").count() == 2

    await eventually(listed)
    row, name = page.locator(f"#lead-{lead_id}"), page.locator("#panel h2.name")
    await row.locator(".row").click()
    await expect(name).to_have_text("Yuki Sato")
    routing = house.services["routing"].http
    closed = await routing.post(f"/v1/assignments/{lead_id}/close", json={"outcome": "unreachable"})
    assert closed.status_code == 200, closed.text

    async def known() -> None:
        async with house.services["console"].database.reading() as conn:
            query = "SELECT released_at IS NOT NULL FROM assignment WHERE lead_id = $1"
            assert await conn.fetchval(query, UUID(lead_id))

    await eventually(known)
    await page.keyboard.press("a")
    await expect(row.get_by_role("alert")).to_contain_text("Not accepted. Nobody has this lead now.")
    assert await row.get_attribute("data-busy") is None

    # A key that comes before the panel acts on the selected lead or on none, never on the one that was read before.
    await page.locator(f"#lead-{other_id} .row").click()
    await expect(name).to_have_text("Claire Dubois")
    await row.locator(".row").click()
    await page.keyboard.press("a")
    await expect(page.locator("#toast")).to_contain_text("not in your inbox any more")
    await expect(row).to_have_count(0)
    assert (await routing.get(f"/v1/leads/{other_id}/assignment")).json()["state"] == "offered"
