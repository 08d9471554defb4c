"""What a score is, what it explains, and how a lead moves by it: pure."""

import itertools
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from backbone import lead_values
from backbone.problem import Problem
from handoff.events.v1 import common_pb2
from qualification import definitions, domain, scoring
from qualification.domain import Stage, State
from qualification.rules import Action, Definition, Engagement

NOW = datetime(2026, 11, 10, 12, tzinfo=UTC)
FULL = """
order: 1
applies: lead.country != "XX" || true
required: [email, company]
exclude:
  - {rule: small, when: '!("employees" in lead.missing) && lead.employees < 99', reason: too_small, action: nurture}
fit:
  - {rule: mid-market, when: lead.employees >= 100 && lead.employees < 5000, points: 40}
  - {rule: free mail, when: lead.email_is_free, points: -30}
situation:
  - {rule: replaces a tool, when: lead.attributes.current_tool != "", points: 10}
interest:
  half_life: 14d
  ceiling: 100
  groups:
    - group: content
      ceiling: 30
      rules:
        - {rule: webinar, kind: webinar_attended, points: 15.3, ceiling: 25}
        - {rule: pricing, kind: pricing_viewed, when: engagement.properties.seconds > 10, points: 20}
    - group: deeds
      rules:
        - {rule: trial, kind: trial_started, points: 90}
        - {rule: left, kind: unsubscribed, points: -25}
buying_signals: [demo_requested, contact_requested]
signal_for: 30d
bands: {fit: {A: 40, B: 20, C: 0}, interest: {1: 50, 2: 20, 3: 0}}
matrix: {A1: pass, A2: pass, A3: nurture, B1: pass, B2: review, B3: nurture, C1: review, C2: nurture, C3: drop}
personas: [{persona: head of sales, when: lead.job_title.contains("Sales")}]
hot: {points: 30, within: 10m, unowned: review}
srl: {need: yes, timing: yes, at_least_yes: 3, never_no: [budget, need]}
supply: {per_month: 200, handoff_within: 15m, by_source: {webinar: 50}}
review: {every: 13w}
"""
DATA = definitions.parse(FULL.encode()).data
SAAS = definitions.build("saas", 3, DATA)
KINDS = ("webinar_attended", "pricing_viewed", "trial_started", "unsubscribed", "demo_requested", "page_viewed")


def lead(**fields: Any) -> dict[str, Any]:
    given = {"has_email": True, "company": "Acme", "employees": 500, **fields}
    return lead_values.of(common_pb2.LeadFields(**given))


def did(kind: str, *, days_ago: float = 0, seconds: int = 60) -> Engagement:
    return Engagement(kind=kind, at=NOW - timedelta(days=days_ago), properties={"seconds": seconds})


def score_of(*done: Engagement, of: Definition = SAAS, at: datetime = NOW, **fields: Any) -> scoring.Score:
    values = lead(**fields)
    return scoring.score(of, scoring.facts(of, values, values["lead.missing"], done), at)


engagements = st.lists(
    st.builds(
        did,
        st.sampled_from(KINDS),
        days_ago=st.integers(min_value=0, max_value=60 * 24).map(lambda hours: hours / 24),
        seconds=st.integers(min_value=0, max_value=20),
    ),
    max_size=12,
)


@given(engagements, st.randoms(use_true_random=False))
def test_the_order_in_which_things_came_changes_no_score(done: list[Engagement], chance: Any) -> None:
    shuffled = chance.sample(done, len(done))
    assert score_of(*shuffled) == score_of(*done)


@given(engagements, st.integers(min_value=0, max_value=400), st.integers(min_value=0, max_value=6000))
def test_the_total_is_the_sum_of_its_log_and_no_ceiling_is_exceeded(
    done: list[Engagement], days: int, employees: int
) -> None:
    score = score_of(*done, employees=employees, at=NOW + timedelta(days=days))
    counted = [point.counted for point in score.explanation]
    assert sum(counted) == sum(reversed(counted)) == score.fit + score.interest
    of = {
        part: sum(point.counted for point in score.explanation if point.part == part) for part in ("content", "deeds")
    }
    assert of["content"] <= 30
    assert of["content"] + of["deeds"] == score.interest <= 100
    assert all(point.counted <= 25 for point in score.explanation if point.rule == "webinar")


@settings(max_examples=300)
@given(engagements, st.floats(min_value=0, max_value=1, exclude_max=True))
def test_time_alone_changes_no_grade_before_the_instant_that_was_foreseen(done: list[Engagement], share: float) -> None:
    now = score_of(*done)
    assume(now.changes_at is None or now.changes_at - NOW > timedelta(minutes=3))  # looks again as soon as it may
    horizon = now.changes_at or NOW + timedelta(days=3650)
    assert score_of(*done, at=NOW + (horizon - NOW) * share).grade == now.grade


def test_points_halve_with_each_half_life_and_fit_stays() -> None:
    later = score_of(did("trial_started", days_ago=14), employees=500)
    assert (later.interest, later.fit, later.grade) == (45, 40, "A2")
    assert score_of(did("trial_started", days_ago=28)).interest == 22.5


def test_points_are_whole_while_they_are_fresh() -> None:
    assert score_of(did("trial_started"), at=NOW + timedelta(minutes=4)).interest == 90
    assert score_of(did("trial_started"), at=NOW + timedelta(minutes=6)).interest < 90


def test_each_line_names_the_ceiling_that_cut_it() -> None:
    score = score_of(*[did("webinar_attended")] * 3, did("pricing_viewed"), did("pricing_viewed", seconds=3))
    lines = {point.rule: (point.points, point.ceiling, point.counted) for point in score.explanation}
    assert lines["pricing"] == (20, 30, 5)
    assert lines["webinar"][1:] == (25, 25)
    assert lines["webinar"][0] == pytest.approx(45.9, abs=1e-5)
    assert score.definition == "saas@3"


def test_who_asks_to_be_contacted_is_of_the_best_column_for_a_time() -> None:
    asked = score_of(did("demo_requested", days_ago=29))
    assert (asked.grade, asked.interest) == ("A1", 0)
    assert asked.changes_at == NOW + timedelta(days=1)
    assert score_of(did("demo_requested", days_ago=31)).grade == "A3"


def test_a_situation_is_part_of_fit_and_shown_apart() -> None:
    fields = common_pb2.LeadFields(has_email=True, company="Acme", employees=500)
    fields.attributes.update({"current_tool": "sheet"})
    values = lead_values.of(fields)
    score = scoring.score(SAAS, scoring.facts(SAAS, values, [], []), NOW)
    assert (score.fit, [point.part for point in score.explanation]) == (50, ["fit", "situation"])


def test_the_first_persona_that_matches_is_the_leads() -> None:
    assert score_of(job_title="VP Sales").persona == "head of sales"
    assert score_of(job_title="CTO").persona == ""


@pytest.mark.parametrize(
    ("fields", "done", "stage", "reason"),
    [
        ({}, ["trial_started"], Stage.MQL, ""),
        ({}, [], Stage.NURTURE, ""),
        ({"company": ""}, ["trial_started"], Stage.NURTURE, "missing_fields"),
        ({"employees": 50}, ["trial_started"], Stage.NURTURE, "too_small"),
        ({"employees": 50, "company": ""}, ["trial_started"], Stage.NURTURE, "too_small"),
        ({"employees": 9000}, [], Stage.DISQUALIFIED, "dropped"),
        ({"employees": 9000}, ["trial_started"], Stage.NURTURE, ""),
    ],
)
def test_the_matrix_names_the_stage(fields: dict[str, Any], done: list[str], stage: Stage, reason: str) -> None:
    score = score_of(*(did(kind) for kind in done), **fields)
    for before in (Stage.NEW, Stage.NURTURE, Stage.DISQUALIFIED):
        assert domain.stage_by_score(State(stage=before), score) == (stage, reason)


def test_a_review_waits_unless_a_person_decided_or_something_is_missing() -> None:
    score = score_of(did("trial_started"), employees=9000)
    assert score.action is Action.REVIEW
    assert domain.needs_review(State(stage=Stage.NURTURE), score)
    assert not domain.needs_review(State(stage=Stage.NURTURE, decided_by_person=True), score)
    assert not domain.needs_review(State(stage=Stage.NURTURE), replace(score, missing=["company"]))


def test_an_mql_whose_interest_faded_is_demoted_and_one_under_review_is_not() -> None:
    faded, review = score_of(), score_of(did("trial_started"), employees=9000)
    assert domain.stage_by_score(State(stage=Stage.MQL), faded)[0] is Stage.NURTURE
    assert domain.stage_by_score(State(stage=Stage.MQL), review)[0] is Stage.MQL


@pytest.mark.parametrize("stage", [Stage.SRL, Stage.SQL, Stage.CUSTOMER])
def test_points_undo_no_persons_decision(stage: Stage) -> None:
    assert domain.stage_by_score(State(stage=stage, reason="x"), score_of(employees=9000)) == (stage, "x")


def test_a_nurtured_lead_comes_back_when_it_does_something_that_counts() -> None:
    said = State(stage=Stage.NURTURE, decided_by_person=True)
    passing = score_of(did("trial_started"))
    assert domain.stage_by_score(said, passing)[0] is Stage.NURTURE
    assert domain.stage_by_score(domain.reopened(said, now=NOW, something_new=True), passing)[0] is Stage.MQL
    resting = replace(said, recycled_until=NOW + timedelta(days=1))
    assert domain.reopened(resting, now=NOW, something_new=True) == resting
    assert not domain.reopened(resting, now=NOW + timedelta(days=1), something_new=False).decided_by_person


@pytest.mark.parametrize(
    ("answers", "refusal"),
    [
        ({"need": "yes", "timing": "yes", "budget": "yes"}, None),
        ({"need": "yes", "timing": "yes", "budget": "unknown", "authority": "yes"}, None),
        ({"need": "yes", "timing": "yes", "budget": "no", "authority": "yes"}, "budget is not no"),
        ({"need": "yes", "timing": "unknown", "budget": "yes", "authority": "yes"}, "timing is yes"),
        ({"need": "yes", "timing": "yes"}, "3 answers"),
    ],
)
def test_an_srl_has_the_answers_that_the_definition_asks_for(answers: dict[str, str], refusal: str | None) -> None:
    state = State(stage=Stage.MQL, bant={question: {"answer": said} for question, said in answers.items()})
    if refusal is None:
        domain.check_accept(state, SAAS.srl, in_review=False)
        return
    with pytest.raises(domain.Refused, match=refusal):
        domain.check_accept(state, SAAS.srl, in_review=False)


def test_the_lowest_order_that_applies_decides() -> None:
    def one(name: str, order: int, applies: str) -> Definition:
        return definitions.build(name, 1, {**DATA, "order": order, "applies": applies})

    known = [one("late", 5, "true"), one("germans", 2, 'lead.country == "DE"'), one("first", 1, "false")]
    for some in itertools.permutations(known):
        german, other = scoring.applicable(some, lead(country="DE")), scoring.applicable(some, lead())
        assert (german and german.name, other and other.name) == ("germans", "late")
    assert scoring.applicable(known[2:], lead()) is None


def test_the_best_grades_come_first() -> None:
    grades = ["C3", "B1", "A3", "A1", "", "A2"]
    assert sorted(grades, key=domain.rank) == ["A1", "A2", "B1", "A3", "C3", ""]


@pytest.mark.parametrize(
    ("change", "pointer", "wrong"),
    [
        (("lead.email_is_free", "lead.email == ''"), "/fit/1/when", ".email =="),
        (("lead.email_is_free", "lead.employes > 3"), "/fit/1/when", ".employes"),
        (("lead.email_is_free", "lead.employees"), "/fit/1/when", "lead.employees, points: -30"),
        (("lead.email_is_free", "lead.company > 5"), "/fit/1/when", "> 5"),
        (("lead.email_is_free", "lead.company.matches('(')"), "/fit/1/when", "'('"),
        (("A1: pass", "A1: later"), "/matrix/A1", "later"),
        (("A1: pass", "D1: pass"), "/matrix/D1", "pass, A2"),
        (("points: 40", "points: forty"), "/fit/0/points", "forty"),
        (("order: 1", "colour: red"), "/colour", "red"),
        (("order: 1", "order: 99999999999"), "/order", "99999999999"),
        (("half_life: 14d", "half_life: 0d"), "/interest/half_life", "0d"),
        (("half_life: 14d", "half_life: 9999999d"), "/interest/half_life", "9999999d"),
        (("group: deeds", "group: fit"), "/interest/groups/1/group", "fit\n      rules"),
        (("required: [email", "required: [shoe_size"), "/required/0", "shoe_size"),
    ],
)
def test_what_is_wrong_is_refused_with_its_place(change: tuple[str, str], pointer: str, wrong: str) -> None:
    assert change[0] in FULL
    text = FULL.replace(*change)
    with pytest.raises(Problem) as refused:
        definitions.parse(text.encode())
    error = refused.value.errors[0]
    before = text[: text.index(wrong)]
    place = (before.count("\n") + 1, len(before) - before.rfind("\n"))
    assert (refused.value.status, error.pointer, (error.line, error.column)) == (422, pointer, place)
