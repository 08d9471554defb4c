"""A routing policy as people write it: its schema, its compilation, and what is wrong with it."""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, Final

from backbone import conditions, documents
from backbone.conditions import FLAG, LEAD, NUMBER, TEXT, TEXTS, WHOLE, Condition, Language
from backbone.documents import DURATION, Document
from backbone.problem import Pointer
from routing.domain import NAMED, Holds, Policy, Pool, Rule, Strategy

ACCOUNT: Final = {
    **{
        f"account.{name}": TEXT for name in ("domain", "name", "status", "rep_id", "parent_domain", "segment", "target")
    },
    "account.active_rep": TEXT,
    "account.open_opportunities": WHOLE,
}
REP: Final = {
    **{f"rep.{name}": TEXT for name in ("rep_id", "name", "team", "manager_id", "role", "kind", "time_zone")},
    **{f"rep.{name}": TEXTS for name in ("skills", "languages", "territories")},
    "rep.cap": WHOLE,
    "rep.weight": NUMBER,
    "rep.active": FLAG,
}
NAMED_TARGETS: Final = ("owner", "account_rep", "previous", "paired", "host")
RAMP_START: Final = "25%"
MOST_NAMED: Final = 20
"""Reps in no pool that a warning names."""
_LEADS: Final = Language.of({**LEAD, **ACCOUNT})
_REPS: Final = Language.of(REP)
_ALWAYS: Final[Holds] = lambda _: True  # noqa: E731
_TEXT: Final = {"type": "string", "minLength": 1}
_COUNT: Final = {"type": "integer", "minimum": 1}


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
                reps=_TEXT,
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
                    when=_TEXT,
                    reps=_TEXT,
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
        pairs={"type": "array", "items": _object(["sdr", "sales"], sdr=_TEXT, sales={"type": "array", "items": _TEXT})},
        accept_within=DURATION,
        not_before_close=DURATION,
        ramp=_object(
            ["weeks"],
            weeks={**_COUNT, "maximum": 520},
            start={"type": "string", "pattern": r"^([1-9]\d?|100)%$"},
        ),
    ),
}


def parse(raw: bytes, reps: Mapping[str, Mapping[str, Any]]) -> Document:
    """Read a policy for the reps there are. Problem 422 with line and column of what is wrong.

    That is: unknown pools and reps, reps of pairs in no pool, loops of fallbacks, and wrong conditions.
    """
    document = documents.parse(raw, SCHEMA, what="routing policy")
    faults = [*_wrong_conditions(document), *_wrong_names(document, set(reps)), *_loops(document)]
    faults = faults or _paired_in_no_pool(document, reps)
    if faults:
        raise documents.refuse("routing policy", sorted(faults, key=lambda one: (one.line or 0, one.column or 0)))
    return document


def _wrong_conditions(document: Document) -> list[Pointer]:
    texts: list[tuple[documents.Path, str, Language]] = []
    for number, pool in enumerate(document.data["pools"]):
        texts.append((("pools", number, "reps"), pool["reps"], _REPS))
    for number, rule in enumerate(document.data["rules"]):
        if "when" in rule:
            texts.append((("rules", number, "when"), rule["when"], _LEADS))
        if "reps" in rule:
            texts.append((("rules", number, "reps"), rule["reps"], _REPS))
    faults = []
    for path, text, language in texts:
        try:
            language.compile(text)
        except conditions.Wrong as wrong:
            faults.append(document.fault(path, wrong.detail, line=wrong.line, column=wrong.column))
    return faults


def _wrong_names(document: Document, rep_ids: set[str]) -> list[Pointer]:
    data = document.data
    names = [pool["pool"] for pool in data["pools"]]
    faults = [
        document.fault(("pools", number, "pool"), "another pool has this name")
        for number, name in enumerate(names)
        if name in names[:number] or name in NAMED_TARGETS
    ]
    places: list[tuple[documents.Path, str | None]] = []
    for number, pool in enumerate(data["pools"]):
        places.append((("pools", number, "fallback"), pool.get("fallback")))
    for number, rule in enumerate(data["rules"]):
        if rule["to"] not in NAMED_TARGETS:
            places.append((("rules", number, "to"), rule["to"]))
        places.append((("rules", number, "fallback"), rule.get("fallback")))
        places.append((("rules", number, "else"), rule.get("else")))
    faults += [document.fault(path, "no such pool") for path, name in places if name is not None and name not in names]
    for number, pair in enumerate(data.get("pairs", [])):
        if pair["sdr"] not in rep_ids:
            faults.append(document.fault(("pairs", number, "sdr"), "no such rep"))
        faults += [
            document.fault(("pairs", number, "sales", place), "no such rep")
            for place, rep_id in enumerate(pair["sales"])
            if rep_id not in rep_ids
        ]
    return faults


def warnings(document: Document, version: int, reps: Mapping[str, Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return what a policy permits but hardly means: a pool without reps, a rep in no pool, a key that does nothing."""
    policy = build(version, document.data, reps)
    found = [
        document.fault(("pools", number, "reps"), "no rep of today is in this pool")
        for number, pool in enumerate(document.data["pools"])
        if not policy.pools[pool["pool"]].members
    ]
    found += _left_out(document, reps)
    for number, one in enumerate(document.data["rules"]):
        found += [document.fault(("rules", number, key), why) for key, why in _idle(one) if key in one]
    return [one.as_json() for one in found]


def _idle(rule: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return the keys that do nothing in this rule, and why."""
    to = rule["to"]
    keys = []
    if to != "previous":
        keys.append(("within", "only `to: previous` asks for how long ago it was"))
    if to != "paired":
        keys.append(("else", "only `to: paired` has an else"))
    if to not in NAMED:
        keys.append(("wait", "who is sent to a pool waits for it anyway"))
    if "fallback" not in rule:
        keys += [("after", "there is no fallback"), ("hours", "there is no fallback")]
    elif to in NAMED and not rule.get("wait"):
        keys.append(("after", "a named rep without room is passed by at once; `wait: true` waits for the fallback"))
    return keys


def _placed(document: Document, reps: Mapping[str, Mapping[str, Any]]) -> set[str]:
    return {rep_id for pool in build(0, document.data, reps).pools.values() for rep_id in pool.members}


def _paired(document: Document) -> list[tuple[documents.Path, str]]:
    named: list[tuple[documents.Path, str]] = []
    for number, pair in enumerate(document.data.get("pairs", [])):
        named.append((("pairs", number, "sdr"), pair["sdr"]))
        named += [(("pairs", number, "sales", place), rep_id) for place, rep_id in enumerate(pair["sales"])]
    return named


def _paired_in_no_pool(document: Document, reps: Mapping[str, Mapping[str, Any]]) -> list[Pointer]:
    placed = _placed(document, reps)
    return [document.fault(path, "this rep is in no pool") for path, one in _paired(document) if one not in placed]


def _left_out(document: Document, reps: Mapping[str, Mapping[str, Any]]) -> list[Pointer]:
    """Return the active reps to whom no rule brings a lead, but for those of pairs, of whom it was said."""
    known = _placed(document, reps) | {rep_id for _, rep_id in _paired(document)}
    to = {rule["to"] for rule in document.data["rules"]}
    # A farmer lives on own accounts, and whoever hosts a meeting gets it: neither needs a pool.
    alone = [
        rep_id
        for rep_id in sorted(reps.keys() - known)
        if reps[rep_id].get("rep.active")
        and "host" not in to
        and not ("owner" in to and reps[rep_id].get("rep.kind") == "farmer")
    ]
    why = "is active and in no pool, so that no lead comes to them"
    return [document.fault(("pools",), f"the rep {rep_id} {why}") for rep_id in alone[:MOST_NAMED]]


def _loops(document: Document) -> list[Pointer]:
    following = {pool["pool"]: pool.get("fallback") for pool in document.data["pools"]}
    faults = []
    for number, pool in enumerate(document.data["pools"]):
        seen, name = {pool["pool"]}, pool.get("fallback")
        while name is not None and name not in seen:
            seen.add(name)
            name = following.get(name)
        if name == pool["pool"]:
            faults.append(document.fault(("pools", number, "fallback"), "the fallbacks go in a circle"))
    return faults


# A policy is built anew whenever a rep changes or a decision is made again; its conditions are the same texts.
@lru_cache(maxsize=4096)
def _about_leads(text: str) -> Condition:
    return _LEADS.compile(text)


@lru_cache(maxsize=4096)
def _about_reps(text: str) -> Condition:
    return _REPS.compile(text)


def build(version: int, data: Mapping[str, Any], reps: Mapping[str, Mapping[str, Any]]) -> Policy:
    """Compile a stored policy for the reps as they are: who belongs to which pool."""
    rules = [_rule(one) for one in data["rules"]]
    read = {name for one in data["rules"] if "when" in one for name in _about_leads(one["when"]).reads}
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
        reads_colleagues="account.active_rep" in read or any(rule.to == "account_rep" for rule in rules),
        reads_deals="account.open_opportunities" in read,
    )


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


def _rule(data: Mapping[str, Any]) -> Rule:
    return Rule(
        rule=data["rule"],
        to=data["to"],
        holds=_about_leads(data["when"]).holds if "when" in data else _ALWAYS,
        narrows=_about_reps(data["reps"]).holds if "reps" in data else None,
        otherwise=data.get("else"),
        fallback=data.get("fallback"),
        in_pool_hours=data.get("hours") == "pool",
        after_seconds=documents.duration(data["after"]) if "after" in data else 0.0,
        within_seconds=documents.duration(data["within"]) if "within" in data else None,
        wait=bool(data.get("wait", False)),
    )
