"""A rep's morning as the store would hand it to the pages."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from uuid import UUID

from console import views

NOW = datetime(2026, 11, 10, 13, 32, 8, tzinfo=UTC)
PERSON = views.Person(
    account="dana@kestrel.example",
    role="rep",
    rep_id="dana",
    name="Dana Okafor",
    zone="Europe/Berlin",
    may=frozenset({"inbox", "leads", "settings"}),
    availability=views.Availability(available=True, until=NOW + timedelta(hours=3, minutes=28)),
)


def clock(left_s: float, within_s: float = 300, kind: str = "first_response_5m", **more: object) -> views.Clock:
    """Return a clock with so much left."""
    due = NOW + timedelta(seconds=left_s)
    values: dict[str, object] = {
        "clock": kind,
        "kind": kind,
        "label": "First follow-up",
        "state": "running",
        "cycle": 1,
    }
    values |= {"started_at": due - timedelta(seconds=within_s), "due_at": due, "within_seconds": within_s} | more
    return views.Clock(**values)  # type: ignore[arg-type]


def row(
    number: int, name: str | None, company: str, grade: str, group: str, one: views.Clock | None, **more: object
) -> views.InboxRow:
    """Return a row."""
    values: dict[str, object] = {
        "lead_id": UUID(int=number),
        "v": number,
        "rep_id": "dana",
        "cycle": 1,
        "state": "offered",
        "name": name,
        "company": company,
        "job_title": "CFO",
        "grade": grade,
        "hot": False,
        "new": True,
        "why_passed": "CFO, 340 people, fintech. Asked for a demo, then read the security page twice",
        "source": "hubspot",
        "group": group,
        "due_at": one.due_at if one else None,
        "clock": one,
        "clocks": (one,) if one else (),
        "touches_done": {},
        "touches_needed": {"call": 3, "email": 3},
        "arrived_at": NOW - timedelta(seconds=220),
        "assigned_at": NOW - timedelta(seconds=217),
    }
    return views.InboxRow(**(values | more))  # type: ignore[arg-type]


late = clock(-148, state="missed", breached_at=NOW - timedelta(seconds=148))
MISSED = row(
    1,
    "Henrik Lindqvist",
    "Brightside Logistics",
    "B1",
    "missed",
    late,
    clocks=(late, clock(1352, 1800, "first_response_30m")),
)
AMARA = row(2, "Amara Nwosu", "Fintrove", "A1", "first", clock(83), hot=True)
ROWS = (
    MISSED,
    AMARA,
    row(3, "Luca Moretti", "Casa Verde Retail", "A2", "first", clock(161)),
    row(4, "Sofie Janssens", "Havenport NV", "B1", "first", clock(234)),
    row(5, None, "Northgate Energy", "A1", "first", clock(296), hot=True),
    row(6, "Piotr Zieliński", "Mostek Sp. z o.o.", "B2", "other", clock(2860, 7200, "status_update"), new=False),
    row(
        7,
        "Ewa Kowalczyk",
        "Lumen Packaging",
        "C1",
        "touches",
        clock(3 * 86400 + 19 * 3600, 14 * 86400, "minimum_touches"),
        new=False,
        state="accepted",
        touches_done={"call": 2, "email": 1},
    ),
)
SCORE = views.Score(
    definition="saas@8",
    grade="A1",
    stage="mql",
    action="pass",
    why_passed="Asked for a demo",
    fit=82,
    interest=50,
    total=132,
    parts=(
        views.Part(
            part="fit",
            total=82,
            points=tuple(
                views.Point(rule=rule, part="fit", points=points, counted=points)
                for rule, points in (("finance lead", 25), ("200 to 1000 people", 20), ("fintech", 20), ("dach", 17))
            ),
        ),
        views.Part(
            part="buying",
            total=50,
            points=(
                views.Point(rule="asked for a demo", part="buying", points=30, counted=30),
                views.Point(rule="pricing × 4", part="buying", points=32, counted=20),
            ),
            ceiling=50,
            cut=12,
        ),
    ),
    persona="Finance Lead",
)
DECISION = views.Decision(
    decision_id="d1",
    at=NOW - timedelta(seconds=217),
    cycle=1,
    outcome="assigned",
    rep_id="dana",
    rep_name="Dana Okafor",
    rule="DACH mid-market",
    pool="DACH-MM",
    strategy="least_loaded",
    reason_code="",
    policy_version=5,
    over_cap=False,
    considered=(
        views.Considered(rep_id="dana", name="Dana Okafor", chosen=True, reason="chosen", open=187, cap=500),
        views.Considered(rep_id="jonas", name="Jonas Weber", chosen=False, reason="more_load", open=191, cap=500),
        views.Considered(rep_id="lena", name="Lena Fischer", chosen=False, reason="at_cap", open=500, cap=500),
    ),
    waited_seconds=2.8,
)
IDENTITY = views.Identity(
    opened=True,
    erased=False,
    name="Amara Nwosu",
    email="amara.nwosu@fintrove.example",
    phone="+49 30 5557 0142",
    company="Fintrove",
    job_title="CFO",
    website="fintrove.example",
    industry="fintech",
    employees=340,
    revenue=None,
    country="DE",
    their_zone="Europe/Berlin",
    attributes={},
    sources=(views.Source(connection_id="c", external_id="vid 4410251", provider="hubspot"),),
    merged=(views.Merged(lead_id=UUID(int=90), at=NOW - timedelta(seconds=219), reason="email"),),
)
CONSENTS = (views.Consent(purpose="calls", basis="form", granted=True, at=NOW - timedelta(seconds=220)),)


def entry(number: int, seconds_ago: float, kind: str, title: str, note: str = "", **more: object) -> views.Entry:
    """Return a line of the journey."""
    values = {"entry_id": str(number), "at": NOW - timedelta(seconds=seconds_ago), "kind": kind, "title": title}
    return views.Entry(**{**values, "note": note, "milestone": True} | more)  # type: ignore[arg-type]


JOURNEY = (
    entry(1, 219.896, "captured", "Received from hubspot", "Demo form DE"),
    entry(2, 219.869, "merged", "Merged with another lead", "email", gap_seconds=0.027),
    entry(3, 219.832, "scored", "Scored: fit 82, interest 74", "was 82 and 21", gap_seconds=0.037),
    entry(4, 219.831, "qualified", "MQL, grade A1, pass to sales now", "saas@8", gap_seconds=0.001),
    entry(
        5,
        216.98,
        "routed",
        "Routed to you",
        "policy@5, rule DACH mid-market, pool DACH-MM",
        gap_seconds=2.851,
        mine=True,
    ),
    entry(6, 216.948, "notified", "Alerted", "console, delivered", gap_seconds=0.032),
    entry(7, 66.98, "warned", "First follow-up running out", "half the window gone", gap_seconds=150),
    entry(8, -83, "due", "First follow-up due", "window of 5m 00s", expected=True),
)
NO_FILTERS = views.Filters()
PANEL = views.Panel(
    row=AMARA,
    identity=IDENTITY,
    consents=CONSENTS,
    may_call=True,
    score=SCORE,
    decision=DECISION,
    last_seen=(
        entry(9, 28, "engagement", "Security page, second time"),
        entry(10, 220, "engagement", "Form “Request a demo”"),
    ),
)


def inbox(
    filters: views.Filters = NO_FILTERS, rows: tuple[views.InboxRow, ...] = ROWS, **more: object
) -> views.InboxPage:
    """Return the inbox."""
    groups = [
        views.Group(key=key, rows=tuple(one for one in rows if one.group == key), title=key, note="")
        for key in views.GROUPS
        if any(one.group == key for one in rows)
    ]
    values: dict[str, object] = {
        "now": NOW,
        "seq": 7,
        "filters": filters,
        "groups": tuple(groups),
        "counts": {"due": len(rows), "all": 187, "new": 4, "hot": 2},
        "grades": ("A1", "A2"),
        "sources": ("hubspot", ""),
        "kinds": ("first_response_5m",),
        "load": views.Load(open=187, cap=500, availability=views.Availability(available=True)),
        "panel": PANEL if rows else None,
        "empty": None if rows else views.Empty(why="no_clock", next_due_at=NOW + timedelta(hours=20)),
    }
    return views.InboxPage(**(values | more))  # type: ignore[arg-type]


def lead(**more: object) -> views.LeadPage:
    """Return Amara's page."""
    touch = views.Attribution(
        source="linkedin", medium="cpc", campaign="Q4 finance", cost=Decimal("41.20"), currency="EUR", at=NOW
    )
    values: dict[str, object] = {
        "lead_id": AMARA.lead_id,
        "now": NOW,
        "seq": 7,
        "v": 2,
        "merged_into": None,
        "merged_at": None,
        "live": True,
        "arrived_at": AMARA.arrived_at,
        "created_at": AMARA.arrived_at,
        "stage": "mql",
        "grade": "A1",
        "hot": True,
        "identity": IDENTITY,
        "consents": CONSENTS,
        "may_call": True,
        "first_touch": touch,
        "last_touch": touch,
        "bant": {},
        "assignment": views.Assignment(
            rep_id="dana",
            rep_name="Dana Okafor",
            cycle=1,
            state="offered",
            assigned_at=AMARA.assigned_at,
            accepted_at=None,
            status="",
            next_step="",
            next_at=None,
        ),
        "row": AMARA,
        "journey": JOURNEY,
        "score": SCORE,
        "decision": DECISION,
        "earlier_decisions": (),
        "clocks": (clock(83), clock(1583, 1800, "first_response_30m"), clock(86183, 86400, "first_response_1d")),
        "opportunities": (
            views.Opportunity(
                opportunity_id="o",
                name="Treasury module",
                account="Fintrove",
                stage="qualified",
                category="pipeline",
                amount=Decimal(48000),
                currency="EUR",
                close_date="2026-12-15",
                owner_id="jonas",
                owner_name="Jonas Weber",
                of_this_lead=True,
            ),
        ),
        "before": MISSED.lead_id,
        "after": ROWS[2].lead_id,
        "position": 2,
        "of": 7,
    }
    return views.LeadPage(**(values | more))  # type: ignore[arg-type]
