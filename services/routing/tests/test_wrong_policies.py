"""What is wrong with a policy is said with its place; what it permits but hardly means is warned of."""

from typing import get_args

import pytest

from backbone.testing.stage import Actor, Stage
from routing import api_accounts, api_reps, checking, policies
from services.routing.tests.desk import put_rep

POLICY = """
pools:
  - {pool: sdr, reps: rep.role == "sdr", strategy: weighted_round_robin}
  - {pool: sales, reps: rep.role == "sales", strategy: least_loaded}
rules:
  - {rule: named accounts, to: owner}
  - {rule: sales ready, when: lead.stage == "srl", to: paired, else: sales}
  - {rule: everyone, to: sdr}
"""


@pytest.fixture(scope="module")
async def refusing(start_once: Stage) -> Actor:
    """It has reps, and refuses every policy that it is given."""
    routing = await start_once("routing")
    await put_rep(routing, "ana")
    for rep_id in ("ben", "odd"):
        await put_rep(routing, rep_id, role="sales")
    return routing


async def warned_of(routing: Actor, text: str) -> list[dict[str, str]]:
    """Put a policy in force, and return of what it is warned."""
    answer = await routing.http.put("/v1/policy", content=text)
    assert answer.status_code == 200, answer.text
    return answer.json()["warnings"]  # type: ignore[no-any-return]


@pytest.mark.parametrize(
    ("text", "pointer"),
    [
        (POLICY.replace("to: sdr}", "to: nobody}"), "/rules/2/to"),
        (POLICY.replace('"srl"', "3"), "/rules/1/when"),
        (POLICY.replace('lead.stage == "srl"', "lead.company.matches('(')"), "/rules/1/when"),
        (POLICY.replace('rep.role == "sdr"', "rep.role"), "/pools/0/reps"),
        (POLICY.replace("weighted_round_robin", "weighted_round_robin, fallback: sdr"), "/pools/0/fallback"),
        (POLICY + "pairs: [{sdr: who, sales: [ana]}]", "/pairs/0/sdr"),
        (POLICY + "pairs: [{sdr: ana, sales: []}]", "/pairs/0/sales"),
        (POLICY + "pairs: [{sdr: ana, sales: [ben, ben]}]", "/pairs/0/sales"),
        (POLICY + "pairs: [{sdr: ana, sales: [ben]}, {sdr: ana, sales: [ben]}]", "/pairs/1/sdr"),
        (POLICY.replace("rule: everyone", "rule: sales ready"), "/rules/2/rule"),
        (POLICY.replace("rule: everyone", "rule: handed over"), "/rules/2/rule"),
        (POLICY.replace("pool: sales", "pool: 'paired:ana'").replace("else: sales", "else: sdr"), "/pools/1/pool"),
        (POLICY.replace("pool: sales", "pool: policy").replace("else: sales", "else: policy"), "/pools/1/pool"),
        (POLICY.replace("pool: sales", "pool: paired").replace("else: sales", "else: sdr"), "/pools/1/pool"),
        (POLICY + "pairs: [{sdr: ana, sales: [odd]}]", "/pairs/0/sales/0"),
        (POLICY + "ramp: {weeks: 4, start: 0%}", "/ramp/start"),
        (POLICY + "accept_within: soon", "/accept_within"),
        (POLICY + "accept_within: 0s", "/accept_within"),
    ],
)
async def test_a_bad_policy_is_refused_with_its_place(refusing: Actor, text: str, pointer: str) -> None:
    text = text.replace('rep.role == "sales"', 'rep.role == "sales" && rep.rep_id != "odd"')
    answer = await refusing.http.put("/v1/policy", content=text)
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["pointer"] == pointer


@pytest.mark.parametrize(
    ("fallbacks", "places"),
    [
        ({"a": "b", "b": "a"}, [0, 1]),
        ({"a": "b", "b": "c", "c": "a"}, [0, 1, 2]),
        ({"a": "c", "b": "a", "c": "a"}, [0, 2]),
        ({"a": "b", "b": "c", "c": "d", "d": "c"}, [2, 3]),
        ({"a": "b", "b": "b"}, [1]),
        ({"a": "b", "b": "c", "c": None}, []),
        ({"a": "c", "b": "c", "c": None}, []),
    ],
    ids=["two", "three", "a tail into two", "a tail of two into two", "a tail into one", "none", "a fork into one"],
)
async def test_fallbacks_that_go_in_a_circle_are_told_of_each_pool_in_it(
    routing: Actor, fallbacks: dict[str, str | None], places: list[int]
) -> None:
    await put_rep(routing, "ana")
    to = {name: f", fallback: {other}" if other else "" for name, other in fallbacks.items()}
    pools = "".join(f"  - {{pool: {name}, reps: 'true'{to[name]}}}\n" for name in fallbacks)
    answer = await routing.http.put("/v1/policy", content=f"pools:\n{pools}rules: [{{rule: all, to: a}}]\n")
    assert answer.status_code == (422 if places else 200)
    told = [(one["pointer"], one["line"], one["detail"]) for one in answer.json().get("errors", [])]
    why = "the fallbacks go in a circle"
    assert told == [(f"/pools/{place}/fallback", place + 2, why) for place in places]


async def test_a_policy_that_leaves_an_active_rep_out_warns_of_whom_and_where(routing: Actor) -> None:
    await put_rep(routing, "ana")
    await put_rep(routing, "fred", kind="farmer", team="farm")
    await put_rep(routing, "gone", team="farm", active=False)
    pools = 'pools: [{pool: north, reps: rep.team == "north"}]'
    text = f"# ours\n{pools}\nrules: [{{rule: named, to: owner}}, {{rule: all, to: north}}]"
    answer = await routing.http.put("/v1/policy", content=text)
    assert (answer.status_code, answer.json()["warnings"]) == (200, []), "a farmer lives on own accounts"
    await put_rep(routing, "odd", team="south")
    for path in ("/v1/policy", "/v1/policy?dry_run=true"):
        warned = await routing.http.put(path, content=text)
        assert warned.status_code == 200
        (fault,) = warned.json()["warnings"]
        assert (fault["line"], fault["column"]) == (2, 8)
        assert fault["detail"].startswith("the rep odd is active and in no pool")


async def test_a_key_that_does_nothing_is_warned_of(routing: Actor) -> None:
    keys = "after: 1h, hours: pool, else: sdr, within: 1d, wait: true"
    text = f"pools: [{{pool: sdr, reps: 'true'}}]\nrules: [{{rule: all, to: sdr, {keys}}}]"
    await put_rep(routing, "ana")
    warned = await warned_of(routing, text)
    assert {one["pointer"] for one in warned} == {
        f"/rules/0/{key}" for key in ("after", "hours", "else", "within", "wait")
    }


async def test_a_share_that_is_none_is_told_how_shares_are_written(routing: Actor) -> None:
    answer = await routing.http.put("/v1/policy", content=POLICY + "ramp: {weeks: 4, start: 0%}")
    assert answer.json()["errors"][0]["detail"].endswith("such as 25%")
    answer = await routing.http.put("/v1/policy", content=POLICY + "accept_within: soon")
    assert answer.json()["errors"][0]["detail"].endswith("such as 90s, 5m, 1h, 14d")


async def test_a_rule_that_no_lead_reaches_is_warned_of(routing: Actor) -> None:
    await put_rep(routing, "ana")
    await put_rep(routing, "ben", role="sales")
    assert await warned_of(routing, POLICY) == []
    late = POLICY + "  - {rule: too late, to: sales}\n  - {rule: as late, to: owner}\n"
    for text in (late, late.replace("everyone,", 'everyone, when: "true",')):
        warned = await warned_of(routing, text)
        assert [one["pointer"] for one in warned] == ["/rules/3/rule", "/rules/4/rule"]


@pytest.mark.parametrize(
    ("when", "field"),
    [("lead.employees < 100", "employees"), ('lead.country != "US" && account.status == ""', "country")],
)
async def test_a_rule_that_takes_leads_for_want_of_a_field_is_warned_of(routing: Actor, when: str, field: str) -> None:
    await put_rep(routing, "ana")
    text = f"""
pools: [{{pool: sdr, reps: rep.role == "sdr"}}]
rules: [{{rule: some, when: '{when}', to: sdr}}, {{rule: rest, to: sdr}}]
"""
    (warned,) = await warned_of(routing, text)
    assert warned["pointer"] == "/rules/0/when"
    assert warned["detail"].startswith(f"holds also where {field} is missing")
    asked = text.replace(when, f'{when} && !("{field}" in lead.missing)')
    assert await warned_of(routing, asked) == []


async def test_a_pair_the_wrong_way_round_and_one_that_there_is_not_are_warned_of(routing: Actor) -> None:
    await put_rep(routing, "ana")
    await put_rep(routing, "ben", role="sales")
    for pairs, places in (
        ("pairs: [{sdr: ben, sales: [ben, ana]}]", ["/pairs/0/sdr", "/pairs/0/sales/1"]),
        ("pairs: [{sdr: ana, sales: [ben]}]", []),
        ("", ["/rules/1/to"]),
    ):
        text = POLICY.replace(", else: sales", "") + pairs
        warned = await warned_of(routing, text)
        assert [one["pointer"] for one in warned] == places


@pytest.mark.parametrize(
    ("was", "instead", "place", "told"),
    [
        ("to: owner", "to: onwer", "/rules/0/to", "no such pool: did you mean owner?"),
        ("to: owner", "to: Sales", "/rules/0/to", "no such pool: did you mean sales?"),
        (
            "to: owner",
            "to: farm",
            "/rules/0/to",
            "no such pool: there are sdr, sales, owner, account_rep, previous, host, paired",
        ),
        ("else: sales", "else: owner", "/rules/1/else", "no such pool: there are sdr, sales"),
        ("to: sdr}", "to: sdr, fallback: sdrs}", "/rules/2/fallback", "no such pool: did you mean sdr?"),
        ('"srl"', "3", "/rules/1/when", "texts stand in quotes"),
        ('lead.stage == "srl"', 'rep.team == "north"', "/rules/1/when", "under `reps` of the rule"),
        ('rep.role == "sdr"', 'lead.country == "DE"', "/pools/0/reps", "under `when` and `reps` of a rule"),
        ('rep.role == "sdr"', 'rep.id == "ana"', "/pools/0/reps", "there is no rep.id: did you mean rep.rep_id?"),
        ('lead.stage == "srl"', "true", "/rules/1/when", "a condition, in quotes, such as 'lead.country == \"DE\"'"),
        ('rep.role == "sdr"', "[ana, ben]", "/pools/0/reps", "a condition, in quotes, such as 'rep.team == \"north\"'"),
        ('"sdr",', '"sdr", cap: 99999999999,', "/pools/0/cap", "may be at most 1000000"),
        ('"sdr",', '"sdr", untouched_cap: 99999999999,', "/pools/0/untouched_cap", "may be at most 1000000"),
        ("rules:", "pairs: [{sdr: anna, sales: [ben]}]\nrules:", "/pairs/0/sdr", "no such rep: did you mean ana?"),
        ("rules:", "pairs: [{sdr: ana, sales: [zoe]}]\nrules:", "/pairs/0/sales/0", "no such rep: GET /v1/reps lists"),
    ],
)
async def test_a_refusal_says_what_to_write_instead_and_the_dry_run_says_the_same(
    refusing: Actor, was: str, instead: str, place: str, told: str
) -> None:
    for path in ("/v1/policy", "/v1/policy?dry_run=true"):
        answer = await refusing.http.put(path, content=POLICY.replace(was, instead, 1))
        assert answer.status_code == 422
        (fault,) = answer.json()["errors"]
        assert fault["pointer"] == place
        assert told in fault["detail"]


@pytest.mark.parametrize("condition", ['"german" in rep.skills', "rep.team in ['north', 'south']", "!rep.active"])
async def test_a_condition_that_yaml_cannot_read_is_told_to_be_put_in_quotes(refusing: Actor, condition: str) -> None:
    text = POLICY.replace("rule: everyone", f"rule: everyone, reps: {condition}")
    for path in ("/v1/policy", "/v1/policy?dry_run=true"):
        (fault,) = (await refusing.http.put(path, content=text)).json()["errors"]
        assert (fault["line"], fault["column"]) == (8, 28)
        assert fault["detail"].endswith("in quotes as a whole, such as reps: 'rep.team == \"north\"'")


@pytest.mark.parametrize("key", ["to", "fallback", "else"])
async def test_a_rep_in_the_place_of_a_pool_is_told_to_be_put_into_one(refusing: Actor, key: str) -> None:
    keys = ", ".join(f"{one}: {name}" for one, name in {"to": "sdr", key: "ben"}.items())
    text = POLICY + f"  - {{rule: a, {keys}}}\n"
    (fault,) = (await refusing.http.put("/v1/policy", content=text)).json()["errors"]
    assert fault["pointer"] == f"/rules/3/{key}"
    assert fault["detail"] == (
        f"{key} names a pool, and this is a rep; put them into one by reps: 'rep.rep_id == \"ben\"'"
    )


async def test_what_is_compared_with_a_value_that_it_never_has_is_warned_of(routing: Actor) -> None:
    await put_rep(routing, "ana")
    text = """
pools: [{pool: all, reps: 'rep.role in ["sdr", "sales", "Farmer"]'}]
rules:
  - {rule: ready, when: 'lead.stage == "SRL"', to: all}
  - {rule: ours, when: 'account.status in ["", "Customer"]', reps: 'rep.kind == "Hunter"', to: all}
  - {rule: rest, to: all}
"""
    for path in ("/v1/policy", "/v1/policy?dry_run=true"):
        warned = (await routing.http.put(path, content=text)).json()["warnings"]
        at = [(one["pointer"], text.splitlines()[one["line"] - 1][one["column"] - 1 :]) for one in warned]
        assert [(pointer, written.partition("'")[0]) for pointer, written in at] == [
            ("/pools/0/reps", '"Farmer"]'),
            ("/rules/0/when", '"SRL"'),
            ("/rules/1/when", '"Customer"]'),
            ("/rules/1/reps", '"Hunter"'),
        ]
        assert warned[0]["detail"] == 'rep.role is never "Farmer"; there are "sdr", "sales"'


def test_reps_and_accounts_have_the_values_that_conditions_are_held_against() -> None:
    fields = {"rep.role": api_reps.RepBody, "rep.kind": api_reps.RepBody, "account.status": api_accounts.Account}
    for name, body in fields.items():
        told = get_args(body.model_fields[name.partition(".")[2]].annotation)
        assert set(told) == set(policies.CLOSED[name]) - {""}


async def test_a_pair_of_somebody_who_is_not_active_is_warned_of(routing: Actor) -> None:
    await put_rep(routing, "ana", active=False)
    await put_rep(routing, "ben", role="sales")
    text = POLICY + "pairs: [{sdr: ana, sales: [ben]}]"
    (warned,) = await warned_of(routing, text)
    assert (warned["pointer"], warned["detail"]) == ("/pairs/0/sdr", "this rep is not active")


async def test_of_very_many_unknown_names_it_is_guessed_of_the_first_alone_what_was_meant(routing: Actor) -> None:
    await put_rep(routing, "ana")
    rules = "".join(f"  - {{rule: r{number}, to: sdrs}}\n" for number in range(checking.MOST_GUESSED + 1))
    answer = await routing.http.put("/v1/policy", content=POLICY + rules)
    told = [one["detail"] for one in answer.json()["errors"]]
    assert told == ["no such pool: did you mean sdr?"] * checking.MOST_GUESSED + ["no such pool"]
