"""Definitions' lives, what SDRs and sales decide, and what is refused."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from backbone import ids, times
from backbone.testing import eventually


async def test_a_definition_is_signed_by_two_people_and_is_active_from_its_instant(
    company: Any, engagement: Any
) -> None:
    http = company.actor.http
    version = await company.put()
    path = f"/v1/definitions/{company.name}/{version}"
    assert (await http.post(f"{path}/activate")).status_code == 409
    mia = company.actor.as_role("marketing", sub="mia")
    assert (await mia.post(f"{path}/sign", json={"party": "sales"})).status_code == 403
    assert (await mia.post(f"{path}/sign", json={"party": "marketing"})).status_code == 200
    same = await company.actor.as_role("admin", sub="mia").post(f"{path}/sign", json={"party": "sales"})
    assert same.status_code == 409
    tom = company.actor.as_role("manager", sub="tom")
    await tom.post(f"{path}/sign", json={"party": "sales", "decision": "refuse", "comment": "too low"})
    assert (await http.post(f"{path}/activate")).status_code == 409
    await tom.post(f"{path}/sign", json={"party": "sales"})
    lead = ids.new()
    await company.publish(company.captured(lead), engagement(lead, "demo_requested"))
    soon = datetime.now(UTC) + timedelta(seconds=1)
    answer = await http.post(f"{path}/activate", json={"at": times.text(soon)})
    assert (answer.status_code, answer.json()["active_from"]) == (200, times.text(soon))
    state = await company.until(lead, "mql")
    assert times.parse(state["history"][-1]["at"]) >= soon
    shown = (await http.get(path)).json()
    assert (shown["state"], {one["signer"] for one in shown["signatures"]}) == ("active", {"mia", "tom"})
    assert company.source in shown["text"]

    assert (await http.post(f"{path}/retire")).json()["state"] == "retired"
    late = ids.new()
    await company.publish(company.captured(late))
    assert (await company.shown(late))["reason"] == "no_definition"
    assert (await http.post(f"{path}/activate")).status_code == 409
    assert (await http.get(f"/v1/definitions/{company.name}/99")).status_code == 404


async def test_a_version_that_follows_takes_over_and_a_lower_order_wins(company: Any, definition_text: str) -> None:
    first = await company.activate()
    lead, second = ids.new(), ids.new()
    await company.publish(company.captured(lead))
    assert (await company.shown(lead))["definition"] == first
    newer = await company.activate()
    await company.publish(company.captured(second))
    assert (await company.shown(second))["definition"] == newer
    states = [
        one["state"]
        for one in (await company.actor.http.get("/v1/definitions", params={"limit": 500})).json()["items"]
        if one["name"] == company.name
    ]
    assert states == ["retired", "active"]
    source, other = company.source, type(company)(company.actor)
    other.source = source
    lower = await other.activate(definition_text.replace("order: 1", "order: 0"))
    third = ids.new()
    await company.publish(company.captured(third))
    assert (await company.shown(third))["definition"] == lower


async def test_a_draft_says_what_it_would_have_changed(company: Any, engagement: Any, definition_text: str) -> None:
    await company.activate()
    leads = [ids.new() for _ in range(3)]
    for number, lead in enumerate(leads):
        fields = {"employees": 50} if number == 2 else {}
        created = company.fields(**fields)
        created.created_at.FromDatetime(datetime.now(UTC))
        message = company.captured(lead, **fields)[1]
        message.lead.CopyFrom(created)
        await company.publish((lead, message), engagement(lead, "demo_requested"))
    stricter = definition_text.replace("A1: pass", "A1: nurture").replace("C1: review", "C1: pass")
    version = await company.put(stricter)
    span = {"from": times.text(datetime.now(UTC) - timedelta(days=1)), "to": "2199-01-01T00:00:00Z"}
    path = f"/v1/definitions/{company.name}/{version}/simulate"
    report = (await company.actor.as_role("marketing").post(path, json=span)).json()
    ours = {str(lead) for lead in leads}
    assert ours & set(report["leaving_leads"]) == {str(lead) for lead in leads[:2]}
    assert ours & set(report["entering_leads"]) == {str(leads[2])}
    assert report["entering"] == len(report["entering_leads"])
    assert sum(week["mql_draft"] for week in report["weeks"]) >= 1
    # A simulation changes nothing.
    assert (await company.shown(leads[0]))["stage"] == "mql"


async def test_an_sdr_confirms_bant_and_sales_confirms_or_hands_back(company: Any, engagement: Any) -> None:
    await company.activate()
    lead = ids.new()
    await company.publish(company.captured(lead), engagement(lead, "demo_requested"))
    await company.routed(lead, "ana")
    ana, ben = company.actor.as_role("sdr", rep="ana"), company.actor.as_role("sdr", rep="ben")
    accept = {"decision": "accept"}
    refused = await ana.post(f"/v1/leads/{lead}/decisions", json=accept)
    assert (refused.status_code, "need" in refused.json()["detail"]) == (409, True)
    bant = {"need": {"answer": "yes", "note": "now"}, "timing": {"answer": "yes"}}
    assert (await ana.put(f"/v1/leads/{lead}/bant", json=bant)).json()["bant"]["budget"]["answer"] == "unknown"
    for call in (ben.put(f"/v1/leads/{lead}/bant", json=bant), ben.post(f"/v1/leads/{lead}/decisions", json=accept)):
        assert (await call).status_code == 403
    assert (await ben.get(f"/v1/leads/{lead}")).status_code == 403
    key = {"Idempotency-Key": str(ids.new())}
    accepted = await ana.post(f"/v1/leads/{lead}/decisions", json=accept, headers=key)
    assert (accepted.status_code, accepted.json()["stage"]) == (200, "srl")
    assert (await ana.post(f"/v1/leads/{lead}/decisions", json=accept, headers=key)).json() == accepted.json()
    (ready,) = await company.told(lead, "LeadSalesReady")
    assert (ready.sdr_id, ready.bant.need, ready.bant.budget) == ("ana", "yes", "")
    assert ready.stamp.recorded_at.ToDatetime() == ready.stamp.occurred_at.ToDatetime()

    await company.routed(lead, "cem", role="sales", cycle=2)
    cem = company.actor.as_role("rep", rep="cem")
    path = f"/v1/leads/{lead}/sales-decision"
    assert (await ana.post(path, json={"decision": "confirm"})).status_code == 403
    assert (await cem.post(path, json={"decision": "hand_back"})).status_code == 422
    back = await cem.post(path, json={"decision": "hand_back", "reason": "no_budget"})
    assert (back.json()["stage"], back.json()["reason"]) == ("mql", "no_budget")
    (handed_back,) = await company.told(lead, "LeadHandedBack")
    assert (handed_back.sdr_id, handed_back.rep_id) == ("ana", "cem")

    await company.routed(lead, "ana", cycle=3)
    assert (await ana.post(f"/v1/leads/{lead}/decisions", json=accept)).json()["stage"] == "srl"
    await company.routed(lead, "cem", role="sales", cycle=4)
    assert (await cem.post(path, json={"decision": "confirm"})).json()["stage"] == "sql"
    assert (await cem.post(path, json={"decision": "confirm"})).status_code == 409
    await company.told(lead, "LeadSalesQualified")


async def test_each_decision_names_its_reason_and_is_told(company: Any, engagement: Any) -> None:
    await company.activate()
    decided = {}
    for decision in ("disqualify", "nurture", "recycle"):
        lead = decided[decision] = ids.new()
        await company.publish(company.captured(lead), engagement(lead, "demo_requested"))
        path = f"/v1/leads/{lead}/decisions"
        assert (await company.actor.http.post(path, json={"decision": decision})).status_code == 422
        answer = await company.actor.http.post(path, json={"decision": decision, "reason": "knows my aunt"})
        assert answer.json()["reason"] == "other"
        assert (await company.shown(lead))["history"][-1]["words"] == "knows my aunt"
    assert (await company.shown(decided["disqualify"]))["stage"] == "disqualified"
    (out,) = await company.told(decided["disqualify"], "LeadDisqualified")
    assert not out.by_score
    await company.told(decided["recycle"], "LeadRecycled")
    # A disqualified lead stays so; a nurtured one comes back when it does something that counts.
    for lead in decided.values():
        await company.publish(engagement(lead, "demo_requested"))
    stages = {decision: (await company.shown(lead))["stage"] for decision, lead in decided.items()}
    assert stages == {"disqualify": "disqualified", "nurture": "mql", "recycle": "mql"}


async def test_who_rests_until_an_instant_is_scored_again_then(company: Any, engagement: Any) -> None:
    await company.activate()
    lead = ids.new()
    await company.publish(company.captured(lead), engagement(lead, "demo_requested"))
    until = times.text(datetime.now(UTC) + timedelta(seconds=1))
    body = {"decision": "nurture", "reason": "timing", "until": until}
    assert (await company.actor.http.post(f"/v1/leads/{lead}/decisions", json=body)).json()["recycled_until"] == until
    state = await company.until(lead, "mql")
    assert state["recycled_until"] is None
    assert times.parse(state["history"][-1]["at"]) >= times.parse(until)


async def test_the_review_queue_is_the_best_first_in_pages(company: Any, engagement: Any) -> None:
    await company.activate()
    review, bant = ids.new(), ids.new()
    await company.publish(company.captured(review, employees=50), engagement(review, "demo_requested"))
    await company.publish(company.captured(bant), engagement(bant, "demo_requested"))
    items, cursor = [], None
    while True:
        params = {"limit": 1, **({"cursor": cursor} if cursor else {})}
        page = (await company.actor.http.get("/v1/review-queue", params=params)).json()
        items += page["items"]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    ours = [(item["lead_id"], item["kind"], item["grade"]) for item in items]
    places = [ours.index((str(bant), "bant", "A1")), ours.index((str(review), "review", "C1"))]
    assert places == sorted(places)
    assert [item["rank"] for item in items] == sorted(item["rank"] for item in items)
    # Two SDRs decide at once over the same lead: the second is told.
    path = f"/v1/leads/{review}/decisions"
    await company.actor.http.put(
        f"/v1/leads/{review}/bant", json={"need": {"answer": "yes"}, "timing": {"answer": "yes"}}
    )
    assert (await company.actor.as_role("sdr", rep="ana").post(path, json={"decision": "accept"})).status_code == 200
    assert (await company.actor.as_role("sdr", rep="ben").post(path, json={"decision": "accept"})).status_code == 403


async def test_reasons_are_replaced_whole_and_rest_for_their_time(company: Any, engagement: Any) -> None:
    http = company.actor.http
    shipped = (await http.get("/v1/reasons")).json()
    assert {"competitor", "timing", "other"} <= {one["code"] for one in shipped}
    try:
        put = [{"code": "next_year", "label": "Next year", "for": ["recycle"], "fault": "lead", "until": "90d"}]
        assert {one["code"] for one in (await http.put("/v1/reasons", json=put)).json()} == {"next_year", "other"}
        (told,) = await company.told(ids.derived("reasons", "all"), "ReasonsChanged")
        assert list(told.codes) == ["next_year", "other"]
        await company.activate()
        lead = ids.new()
        await company.publish(company.captured(lead), engagement(lead, "demo_requested"))
        body = {"decision": "recycle", "reason": "next_year"}
        state = (await http.post(f"/v1/leads/{lead}/decisions", json=body)).json()
        rests = times.parse(state["recycled_until"]) - datetime.now(UTC)
        assert timedelta(days=89) < rests < timedelta(days=91)
    finally:
        assert (await http.put("/v1/reasons", json=shipped)).status_code == 200


BAD: list[tuple[str, str, Any]] = [
    (
        "POST",
        "/v1/leads/{lead}/decisions",
        {"decision": "nurture", "reason": "x", "until": "9999-12-31T23:59:59-12:00"},
    ),
    ("POST", "/v1/leads/{lead}/decisions", {"decision": "nurture", "reason": "x", "until": "2026-01-01T00:00:00"}),
    ("POST", "/v1/leads/{lead}/decisions", {"decision": "nurture", "reason": "\x00"}),
    ("POST", "/v1/leads/{lead}/decisions", {"decision": "promote"}),
    ("POST", "/v1/leads/{lead}/decisions", {"decision": "accept", "colour": "red"}),
    ("PUT", "/v1/leads/{lead}/bant", {"need": {"answer": "maybe"}}),
    ("PUT", "/v1/leads/{lead}/bant", {"need": {"answer": "yes", "note": "\x00"}}),
    ("POST", "/v1/leads/{lead}/feedback", {"rating": "poor", "note": "\x00"}),
    ("POST", "/v1/leads/nobody/feedback", {"rating": "poor"}),
    ("PUT", "/v1/reasons", [{"code": "a", "label": "A", "until": "99999999999999d"}]),
    ("PUT", "/v1/reasons", [{"code": "a", "label": "A"}, {"code": "a", "label": "B"}]),
    ("PUT", "/v1/reasons", []),
    ("GET", "/v1/review-queue?cursor=WzFd", None),
    ("GET", "/v1/review-queue?cursor=WzFlOTksIngiLCAieSJd", None),
    ("GET", "/v1/definitions?cursor=WzFd", None),
    ("GET", "/v1/definitions?cursor=WyJhIiwgMTAwMDAwMDAwMDAwMDAwMDAwMDBd", None),
    ("GET", "/v1/reports/supply?from=0001-01-01T00:00:00Z&to=9999-12-31T23:59:59Z", None),
    ("GET", "/v1/reports/supply?from=2026-01-02T00:00:00Z&to=2026-01-01T00:00:00Z", None),
    ("POST", "/v1/definitions/{name}/1/activate", {"at": "9999-12-31T23:59:59-12:00"}),
    ("POST", "/v1/definitions/{name}/1/simulate", {"from": "2026-01-01T00:00:00Z"}),
    ("POST", "/v1/definitions/{name}/1/sign", {"party": "legal"}),
    ("POST", "/v1/definitions/a%00b", None),
]


async def test_bad_input_is_refused_with_its_place_and_changes_nothing(company: Any) -> None:
    await company.activate()
    lead = ids.new()
    await company.publish(company.captured(lead))
    for method, path, body in BAD:
        answer = await company.actor.http.request(method, path.format(lead=lead, name=company.name), json=body)
        problem = answer.json()
        assert (answer.status_code, answer.headers["content-type"]) == (422, "application/problem+json"), (path, body)
        assert problem["detail"]
    assert len((await company.shown(lead))["history"]) == 1


@pytest.mark.parametrize(
    "text", [b"", b"\xff\xfe", b"a: [", b"- 1", b"a: &a [*a]", b"[" * 100_000, b"x: 1\n" * 70_000, b"bands: 1"]
)
async def test_what_is_no_definition_is_refused(company: Any, text: bytes) -> None:
    answer = await company.actor.http.post(f"/v1/definitions/{company.name}", content=text)
    assert answer.status_code in (413, 422), answer.text
    assert answer.headers["content-type"] == "application/problem+json"


async def test_a_draft_comes_with_what_its_authors_may_not_have_meant(company: Any, definition_text: str) -> None:
    text = definition_text.replace("lead.employees >= 100 && ", "").replace("A3: nurture, ", "")
    answer = await company.actor.http.post(f"/v1/definitions/{company.name}", content=text)
    assert answer.status_code == 201
    assert [one["pointer"] for one in answer.json()["warnings"]] == ["/fit/0/when", "/matrix"]
    assert all(one["line"] > 1 and one["column"] > 1 for one in answer.json()["warnings"])
    assert (await company.actor.http.get("/v1/definitions/schema")).json()["required"] == ["bands", "matrix"]


async def test_one_definition_of_two_hundred_rules_scores_by_the_batch(company: Any, definition_text: str) -> None:
    rules = "".join(
        f"  - {{rule: r{number}, when: lead.employees >= {number} && lead.country == 'DE', points: 1}}\n"
        for number in range(200)
    )
    cited = await company.activate(definition_text.replace("fit:\n", f"fit:\n{rules}"))
    leads = [ids.new() for _ in range(100)]
    await company.publish(
        *(company.captured(lead, employees=20 + number, country="DE") for number, lead in enumerate(leads))
    )

    async def scored() -> None:
        state = await company.shown(leads[50])
        assert (state["definition"], state["fit"]) == (cited, 71)

    await eventually(scored)
