"""The HTML of the console: what a person may see at each address, read by `store_pages`, rendered by templates."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final, Protocol
from urllib.parse import urlencode
from uuid import UUID

from fastapi import APIRouter, Depends, Form, Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from backbone import clock, database, problem, security
from console import phrases, rendering, shown, store_pages, views, words

READERS: Final = ("rep", "sdr", "manager", "marketing")
HAVE_INBOX: Final = ("rep", "sdr", "manager")
FOUND_MOST: Final = 50
FOUND_IN_PALETTE: Final = 8
QUERY_MOST: Final = 200
KEPT_FOR_S: Final = 365 * 24 * 3600
"""How long a browser keeps the choice of a theme."""
_SHOWN: Final = {"due", "all", "new", "hot"}
_FOR_WHOM: Final = {"inbox": "reps", "leads": "people who work leads", "settings": "people"}


class Doors(Protocol):
    """Says who is asking."""

    def allow(self, *roles: str) -> Any:
        """Return a dependency that lets these roles in and returns the Person."""


def router(db: database.Database, doors: Doors) -> APIRouter:
    """Return the pages."""
    pages = APIRouter(default_response_class=HTMLResponse, include_in_schema=False)
    reader, worker = Depends(doors.allow(*READERS)), Depends(doors.allow(*HAVE_INBOX))

    @pages.get("/")
    async def first(person: views.Person = reader) -> Response:
        """Go to the role's first screen."""
        return RedirectResponse("/inbox" if person.rep_id and "inbox" in person.may else "/leads", 303)

    @pages.get("/inbox")
    async def inbox(request: Request, person: views.Person = worker) -> Response:
        """Show whose clock runs, and the selected lead."""
        filters = filters_of(request.query_params)
        async with db.reading() as conn:
            page = await store_pages.inbox(conn, person.rep_id, filters)
            counts = {} if is_fragment(request) else await store_pages.counts(conn, person)
        return html(request, render_inbox(request, person, page, counts))

    @pages.get("/leads")
    async def leads(request: Request, q: str = "", person: views.Person = reader) -> Response:
        """Search leads; the palette gets the first few as options."""
        few = is_fragment(request)
        async with db.reading() as conn:
            most = FOUND_IN_PALETTE if few else FOUND_MOST
            found = await store_pages.search(conn, person, q[:QUERY_MOST].strip(), most)
            counts = {} if few else await store_pages.counts(conn, person)
        values = {"found": found, "q": q[:QUERY_MOST], "more": len(found) == most}
        if few:
            return html(request, rendering.render("found.html", person, clock.now(), **values))
        return html(request, framed("leads.html", request, person, clock.now(), counts, section="leads", **values))

    @pages.get("/leads/{lead_id}")
    async def lead(request: Request, lead_id: UUID, person: views.Person = reader) -> Response:
        """Show a lead: who it is, what happened, why it is whose it is."""
        async with db.reading() as conn:
            page = await store_pages.lead(conn, person, lead_id)
            counts = await store_pages.counts(conn, person)
        if page is None:
            raise problem.Problem(404, "No such lead", "It may have been erased. Search for the person instead.")
        if page.merged_into is not None:
            said = {"merged": page.merged_at.isoformat()} if page.merged_at is not None else {}
            return RedirectResponse(f"/leads/{page.merged_into}?{urlencode(said)}", 301)
        return html(request, render_lead(request, person, page, counts))

    @pages.get("/settings/me")
    async def settings(request: Request, person: views.Person = reader) -> Response:
        """Show the reader's own choices."""
        async with db.reading() as conn:
            counts = await store_pages.counts(conn, person)
        return html(request, framed("settings.html", request, person, clock.now(), counts, section="settings"))

    @pages.post("/settings/me")
    async def choose(theme: str = Form(""), keys: str = Form(""), _: views.Person = reader) -> Response:
        """Keep a choice in the browser, so that the server renders by it."""
        answer = RedirectResponse("/settings/me", 303)
        for name, value, known in (("theme", theme, ("system", "light", "dark")), ("keys", keys, ("on", "off"))):
            if value in known:
                answer.set_cookie(name, value, max_age=KEPT_FOR_S, samesite="lax", httponly=True)
        return answer

    @pages.get("/signin", dependencies=[Depends(security.public)])
    async def signin(request: Request) -> Response:
        """Ask who it is."""
        return html(request, render_signin(request, ""))

    return pages


def is_fragment(request: Request) -> bool:
    """Say whether the page's script asks, and not the address bar."""
    return "hx-request" in request.headers


def html(request: Request, text: str, status: int = 200) -> Response:
    """Return a page, which nobody keeps: it shows personal data."""
    return HTMLResponse(text, status, headers={"Vary": "HX-Request, HX-Target, Cookie", "Cache-Control": "no-store"})


def filters_of(asked: Mapping[str, str]) -> views.Filters:
    """Read the address's query; what it does not mean is left out."""
    show = asked.get("due", "due")
    try:
        lead = UUID(asked["lead"]) if asked.get("lead") else None
    except ValueError:
        lead = None
    return views.Filters(
        show=show if show in _SHOWN else "due",  # type: ignore[arg-type]  # checked
        grade=asked.get("grade", "")[:QUERY_MOST],
        source=asked.get("source", "")[:QUERY_MOST],
        clock=asked.get("clock", "")[:QUERY_MOST],
        q=asked.get("q", "")[:QUERY_MOST].strip(),
        lead=lead,
    )


def framed(
    template: str,
    request: Request,
    person: views.Person,
    now: datetime,
    counts: Mapping[str, int],
    *,
    section: str,
    **values: Any,
) -> str:
    """Render a page in the frame: the sidebar has what the person may see."""
    entries = [entry for entry in words.ENTRIES if entry.key in person.may or entry.key == "settings"]
    frame = {
        "entries": entries,
        "section": section,
        "counts": counts,
        "keys_on": request.cookies.get("keys") != "off",
        "availability": phrases.availability(person, now),
    }
    return rendering.render(template, person, now, **frame, **values)


def render_inbox(request: Request, person: views.Person, page: views.InboxPage, counts: Mapping[str, int]) -> str:
    """Render the inbox, or what the script asks for: the list, the filters, or the panel with the phone's actions."""
    panel = page.panel
    told, more, more_sum = phrases.points(panel.score if panel is not None else None)
    values: dict[str, Any] = {
        "page": page,
        "panel": panel,
        "groups": phrases.grouped(page, person),
        "selected_id": panel.row.lead_id if panel is not None else None,
        "empty": phrases.empty(page, person),
        "query_of_page": rendering.query(page.filters),
        "points": told,
        "more_points": more,
        "more_points_sum": more_sum,
        "why_you": phrases.why_you(panel.decision if panel is not None else None, person),
    }
    if not is_fragment(request):
        return framed("inbox.html", request, person, page.now, counts, section="inbox", **values)
    parts = {"list": ["list.html"], "filters": ["filters.html"]}.get(
        request.headers.get("hx-target", ""), ["panel.html", "deed.html"]
    )
    return "".join(rendering.render(part, person, page.now, **values) for part in parts)


def render_lead(request: Request, person: views.Person, page: views.LeadPage, counts: Mapping[str, int]) -> str:
    """Render a lead's page."""
    values = {
        "lead": page,
        "panel": page,
        "journey": phrases.steps(page.journey),
        "happened": sum(not entry.expected for entry in page.journey),
        "all_events": request.query_params.get("events") == "all",
        "decision_said": phrases.decision(page.decision, person),
        "calendars": phrases.calendars(page.clocks),
        "clock_said": lambda clock: phrases.clock_said(clock, person, page.now),
        "merged_on": _merged_on(request, page, person),
    }
    return framed("lead.html", request, person, page.now, counts, section="inbox" if page.of else "leads", **values)


def _merged_on(request: Request, page: views.LeadPage, person: views.Person) -> str:
    try:
        at = datetime.fromisoformat(request.query_params.get("merged", ""))
    except ValueError:
        return ""
    return shown.date(at, page.now, person.zone) if at.tzinfo is not None else ""


def render_row(row: views.InboxRow, person: views.Person) -> str:
    """Render a row for the stream: what the list has, without what the browser owns."""
    now = clock.now()
    return rendering.render("row.html", person, now, row=row, note=phrases.row_note(row, person, now))


def render_entry(entry: views.Entry, person: views.Person) -> str:
    """Render a journey's line for the stream."""
    return rendering.render("entry.html", person, clock.now(), entry=entry)


def render_signin(request: Request, said: str) -> str:
    """Render the sign-in page; after it one lands where one was going."""
    return rendering.render("signin.html", None, clock.now(), said=said, next=request.query_params.get("next", ""))


def render_problem(request: Request, refused: problem.Problem) -> str:
    """Render a refusal: what happened, to what, and what to do; in the frame for who is signed in."""
    if request.url.path == "/signin":
        return render_signin(request, refused.detail)
    person: views.Person | None = getattr(request.state, "person", None)
    title, detail, link, does = refused.title, refused.detail, "/", "Back to the start"
    section = request.url.path.strip("/").partition("/")[0]
    if refused.status == 403 and person is not None and section in _FOR_WHOM:
        title = f"{section.capitalize()} is for {_FOR_WHOM[section]}" if section != "leads" else refused.title
        detail = f"Your role is {words.ROLES[person.role]}. {refused.detail}"
    elif refused.status == 404 and section not in ("leads",):
        title, detail = "There is no such page", "The address may be mistyped, or the page is not made yet."
    elif refused.status >= 500:
        link, does = str(request.url.path), "Try again"
    values = {"title": title, "detail": detail, "link": link, "does": does, "status": refused.status}
    if person is None:
        return rendering.render("sentence.html", None, clock.now(), **values)
    return framed("sentence.html", request, person, clock.now(), {}, section="", **values)
