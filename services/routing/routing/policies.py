"""A routing policy as people write it: its schema, and its compilation."""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, Final

from backbone import closed, documents
from backbone.conditions import FLAG, NUMBER, OBJECTS, TEXT, TEXTS, WHOLE, Condition, Language
from backbone.documents import CONDITION, DURATION
from backbone.lead_values import LEAD
from routing.domain import ACTIVE_REP, OPEN_DEALS, Policy, Pool, Rule, Strategy
from routing.narrowing import Holds, Narrowing, PerLead

ACCOUNT: Final = {
    **{
        f"account.{name}": TEXT for name in ("domain", "name", "status", "rep_id", "parent_domain", "segment", "target")
    },
    ACTIVE_REP: TEXT,
    OPEN_DEALS: WHOLE,
}
REP_TEXTS: Final = ("name", "email", "team", "manager_id", "role", "kind", "time_zone", "holidays")
REP_LISTS: Final = ("skills", "languages", "territories")
REP: Final = {
    "rep.rep_id": TEXT,
    **{f"rep.{name}": TEXT for name in REP_TEXTS},
    **{f"rep.{name}": TEXTS for name in REP_LISTS},
    "rep.working_hours": OBJECTS,
    "rep.cap": WHOLE,
    "rep.weight": NUMBER,
    "rep.active": FLAG,
}
CLOSED: Final[closed.Values] = {
    **closed.OF_LEADS,
    "account.status": ("", "prospect", "customer", "former", "partner", "competitor", "blocked"),
    "rep.role": ("sdr", "sales"),
    "rep.kind": ("hunter", "farmer"),
}
RAMP_START: Final = "25%"
NO_ACCOUNT: Final[Mapping[str, Any]] = {**dict.fromkeys(ACCOUNT, ""), OPEN_DEALS: 0}
"""What conditions read of a company of which nothing is known."""
_OF_REPS: Final = "'rep.team == \"north\"'"
_NOT_OF_REPS: Final = "a pool is of reps alone; of leads it is said under `when` and `reps` of a rule"
LEADS: Final = Language.of(
    {**LEAD, **ACCOUNT}, {"rep.": f"of reps it is said under `reps` of the rule, such as reps: {_OF_REPS}"}
)
REPS: Final = Language.of(REP, dict.fromkeys(("lead.", "account."), _NOT_OF_REPS))
PAIRS: Final = Language.of({**LEAD, **ACCOUNT, **REP})
"""Of a lead and a rep together: which reps a rule takes."""
_ALWAYS: Final[Holds] = lambda _: True  # noqa: E731
_TEXT: Final = {"type": "string", "minLength": 1}
_COUNT: Final = {"type": "integer", "minimum": 1, "maximum": 1_000_000}
"""Far beyond what anybody has, and within what a database holds."""
_REPS: Final = {**CONDITION, "examples": [_OF_REPS, "'true'"]}


def _object(needed: Sequence[str] = (), /, **properties: Any) -> dict[str, Any]:
    return {"type": "object", "additionalProperties": False, "required": list(needed), "properties": properties}


SCHEMA: Final = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "title": "A routing policy",
    **_object(
        ["pools", "rules"],
        pools={
            "type": "array",
            "items": _object(
                ["pool", "reps"],
                pool=_TEXT,
                reps=_REPS,
                strategy={"enum": [str(one) for one in Strategy]},
                cap=_COUNT,
                untouched_cap=_COUNT,
                fallback=_TEXT,
            ),
        },
        rules={
            "type": "array",
            "items": {
                **_object(
                    ["rule", "to"],
                    rule=_TEXT,
                    when=CONDITION,
                    reps=_REPS,
                    to=_TEXT,
                    fallback=_TEXT,
                    after=DURATION,
                    within=DURATION,
                    wait={"type": "boolean"},
                    hours={"enum": ["pool", "wall"]},
                    **{"else": _TEXT},
                )
            },
        },
        pairs={
            "type": "array",
            "items": _object(
                ["sdr", "sales"], sdr=_TEXT, sales={"type": "array", "minItems": 1, "uniqueItems": True, "items": _TEXT}
            ),
        },
        accept_within=DURATION,
        not_before_close=DURATION,
        ramp=_object(
            ["weeks"],
            weeks={**_COUNT, "maximum": 520},
            start={"type": "string", "pattern": r"^([1-9]\d?|100)%$", "examples": [RAMP_START]},
        ),
    ),
}


# A policy is built anew whenever a rep changes or a decision is made again; its conditions are the same texts.
@lru_cache(maxsize=4096)
def _about_leads(text: str) -> Condition:
    return LEADS.compile(text)


@lru_cache(maxsize=4096)
def _about_reps(text: str) -> Condition:
    return REPS.compile(text)


@lru_cache(maxsize=4096)
def _about_pairs(text: str) -> Condition:
    return PAIRS.compile(text)


def build(version: int, data: Mapping[str, Any], reps: Mapping[str, Mapping[str, Any]]) -> Policy:
    """Compile a stored policy for the reps as they are: who belongs to which pool."""
    rules = [_rule(one, reps) for one in data["rules"]]
    ramp = data.get("ramp") or {}
    return Policy(
        version=version,
        pools={one["pool"]: _pool(one, reps) for one in data["pools"]},
        rules=rules,
        pairs={one["sdr"]: tuple(one["sales"]) for one in data.get("pairs", [])},
        accept_within_seconds=documents.duration(data["accept_within"]) if "accept_within" in data else None,
        margin_seconds=documents.duration(data["not_before_close"]) if "not_before_close" in data else 0.0,
        ramp_days=7 * ramp.get("weeks", 0),
        ramp_start=int(ramp.get("start", RAMP_START).removesuffix("%")) / 100,
        reads=looked_up(data),
    )


def looked_up(data: Mapping[str, Any]) -> frozenset[str]:
    """Return what a stored policy reads of a lead's company that is looked up only where it is read."""
    rules = data["rules"]
    read = {name for one in rules if "when" in one for name in _about_leads(one["when"]).reads}
    read |= {name for one in rules if "reps" in one for name in _about_pairs(one["reps"]).reads}
    named = {ACTIVE_REP for one in rules if one["to"] == "account_rep"}
    return frozenset((read | named) & {ACTIVE_REP, OPEN_DEALS})


def _pool(data: Mapping[str, Any], reps: Mapping[str, Mapping[str, Any]]) -> Pool:
    belongs = _about_reps(data["reps"])
    return Pool(
        pool=data["pool"],
        strategy=Strategy(data.get("strategy", Strategy.WEIGHTED_ROUND_ROBIN)),
        members=tuple(rep_id for rep_id in sorted(reps) if belongs.holds(reps[rep_id])),
        cap=data.get("cap"),
        untouched_cap=data.get("untouched_cap"),
        fallback=data.get("fallback"),
    )


def _narrows(data: Mapping[str, Any], reps: Mapping[str, Mapping[str, Any]]) -> Narrowing | PerLead | None:
    if "reps" not in data:
        return None
    condition = _about_pairs(data["reps"])
    of_leads = [name for name in condition.reads if name not in REP]
    if not of_leads:
        return Narrowing(data["rule"], _about_reps(data["reps"]).holds)
    return PerLead(data["rule"], of_leads, condition.holds, reps)


def _rule(data: Mapping[str, Any], reps: Mapping[str, Mapping[str, Any]]) -> Rule:
    return Rule(
        rule=data["rule"],
        to=data["to"],
        holds=_about_leads(data["when"]).holds if "when" in data else _ALWAYS,
        narrows=_narrows(data, reps),
        otherwise=data.get("else"),
        fallback=data.get("fallback"),
        in_pool_hours=data.get("hours") == "pool",
        after_seconds=documents.duration(data["after"]) if "after" in data else 0.0,
        within_seconds=documents.duration(data["within"]) if "within" in data else None,
        wait=bool(data.get("wait", False)),
    )
