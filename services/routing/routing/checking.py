"""What is wrong with a routing policy, each with its place; and what it permits but hardly means."""

from collections.abc import Collection, Iterator, Mapping
from typing import Any, Final

from backbone import closed, conditions, documents, doubts, mistakes
from backbone.conditions import Language
from backbone.documents import Document
from backbone.problem import Pointer
from routing import assigning, policies
from routing.domain import NAMED, Policy

NAMED_TARGETS: Final = (*NAMED, assigning.PAIRED)
BY_POLICY: Final = "policy"
"""Where a hand-over goes to by the rules."""
MOST_NAMED: Final = 20
"""Reps in no pool that a warning names."""
MOST_GUESSED: Final = 20
"""Unknown names of which it is guessed what was meant: each is held against all that there are."""


def parse(raw: bytes, reps: Mapping[str, Mapping[str, Any]]) -> Document:
    """Read a policy for the reps there are. Problem 422 with line and column of what is wrong.

    That is: what is wrong at any time, and reps of pairs in no pool.
    """
    document = parse_for_the_past(raw, reps)
    _refuse(_paired_in_no_pool(document, reps))
    return document


def parse_for_the_past(raw: bytes, reps: Mapping[str, Mapping[str, Any]]) -> Document:
    """Read a policy to be tried on the past, when reps may have been in pools that they are not in today.

    Problem 422 for what is wrong at any time: names that mean something else, unknown pools and reps, loops of
    fallbacks, and wrong conditions.
    """
    document = documents.parse(raw, policies.SCHEMA, what="routing policy")
    faults = [*_wrong_conditions(document), *_wrong_names(document), *_unknown(document, reps), *_loops(document)]
    if "accept_within" in document.data and not documents.duration(document.data["accept_within"]):
        faults.append(document.fault(("accept_within",), "nobody accepts in no time; leave it out to wait for nobody"))
    _refuse(faults)
    return document


def _refuse(faults: list[Pointer]) -> None:
    if faults:
        raise documents.refuse("routing policy", sorted(faults, key=lambda one: (one.line or 0, one.column or 0)))


def _conditions(document: Document) -> list[tuple[documents.Path, str, Language]]:
    texts: list[tuple[documents.Path, str, Language]] = []
    for number, pool in enumerate(document.data["pools"]):
        texts.append((("pools", number, "reps"), pool["reps"], policies.REPS))
    for number, rule in enumerate(document.data["rules"]):
        if "when" in rule:
            texts.append((("rules", number, "when"), rule["when"], policies.LEADS))
        if "reps" in rule:
            texts.append((("rules", number, "reps"), rule["reps"], policies.PAIRS))
    return texts


def _wrong_conditions(document: Document) -> list[Pointer]:
    faults = []
    for path, text, language in _conditions(document):
        try:
            language.check(text)
        except conditions.Wrong as wrong:
            faults.append(document.fault(path, wrong.detail, line=wrong.line, column=wrong.column))
    return faults


def _wrong_names(document: Document) -> list[Pointer]:
    """Return which names stand twice, or are read as something else where they are used."""
    data = document.data
    pools = [pool["pool"] for pool in data["pools"]]
    rules = [rule["rule"] for rule in data["rules"]]
    sdrs = [pair["sdr"] for pair in data.get("pairs", [])]
    taken = "this name is taken: it means something else in a rule or a hand-over"
    return [
        *_twice(document, "pools", "pool", pools, "another pool has this name"),
        *_twice(document, "rules", "rule", rules, "another rule has this name, and decisions name the rule"),
        *_twice(document, "pairs", "sdr", sdrs, "another pair is of this rep: name all partners in one"),
        *(
            document.fault(("pools", number, "pool"), taken)
            for number, name in enumerate(pools)
            if name in (*NAMED_TARGETS, BY_POLICY) or name.startswith(assigning.PAIR)
        ),
        *(
            document.fault(("rules", number, "rule"), "this name says of a decision that a person named the pool")
            for number, name in enumerate(rules)
            if name == assigning.HANDED_OVER
        ),
    ]


def _twice(document: Document, part: str, key: str, names: list[str], why: str) -> list[Pointer]:
    return [document.fault((part, number, key), why) for number, name in enumerate(names) if name in names[:number]]


def _unknown(document: Document, reps: Collection[str]) -> list[Pointer]:
    faults, wrong = [], []
    for path, name, known in _unknown_pools(document):
        if name in reps:
            why = f"{path[-1]} names a pool, and this is a rep; put them into one by reps: 'rep.rep_id == \"{name}\"'"
            faults.append(document.fault(path, why))
        else:
            wrong.append((path, "no such pool", name, known, ""))
    for path, rep_id in _paired(document):
        if rep_id not in reps:
            wrong.append((path, "no such rep", rep_id, reps, "GET /v1/reps lists them"))
    return [
        *faults,
        *(
            document.fault(path, f"{what}: {mistakes.instead(name, known, otherwise)}")
            for path, what, name, known, otherwise in wrong[:MOST_GUESSED]
        ),
        *(document.fault(path, what) for path, what, *_ in wrong[MOST_GUESSED:]),
    ]


def _unknown_pools(document: Document) -> Iterator[tuple[documents.Path, str, Collection[str]]]:
    """Yield which names are of no pool, and which could stand there."""
    pools = [pool["pool"] for pool in document.data["pools"]]
    targets = [*pools, *NAMED_TARGETS]
    for part, keys in (("pools", ("fallback",)), ("rules", ("to", "fallback", "else"))):
        for number, one in enumerate(document.data[part]):
            for key in keys:
                known = targets if key == "to" else pools
                if key in one and one[key] not in known:
                    yield (part, number, key), one[key], known


def warnings(document: Document, version: int, reps: Mapping[str, Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return what a policy permits but hardly means.

    That is: a pool without reps, a rep in no pool, inactive or on the wrong side of a pair, a rule that no lead reaches
    or that nobody is behind, a key that does nothing, a condition that holds also of leads that lack a field, or that
    compares what has a few values with another.
    """
    policy = policies.build(version, document.data, reps)
    found = [
        document.fault(("pools", number, "reps"), "no rep of today is in this pool")
        for number, pool in enumerate(document.data["pools"])
        if not policy.pools[pool["pool"]].members
    ]
    found += [
        document.fault(path, words, line=line, column=column)
        for path, text, _ in _conditions(document)
        for words, line, column in closed.never(text, policies.CLOSED)
    ]
    found += _left_out(document, reps)
    found += _odd_pairs(document, reps)
    found += _unreached(document, policy)
    for number, one in enumerate(document.data["rules"]):
        found += [document.fault(("rules", number, key), why) for key, why in _idle(one) if key in one]
        words = doubts.about(policies.LEADS.compile(one["when"]), policies.NO_ACCOUNT) if "when" in one else None
        if words is not None:
            found.append(document.fault(("rules", number, "when"), words))
    return [one.as_json() for one in found]


def _unreached(document: Document, policy: Policy) -> list[Pointer]:
    """Return the rules after one that takes every lead, or has it wait."""
    for number, rule in enumerate(document.data["rules"]):
        to_somebody = rule["to"] in policy.pools or "else" in rule
        if to_somebody and rule.get("when", "true").strip() == "true":
            why = f"no lead comes here: the rule {rule['rule']} takes all of them"
            later = range(number + 1, len(document.data["rules"]))
            return [document.fault(("rules", place, "rule"), why) for place in later]
    return []


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
    return {rep_id for pool in policies.build(0, document.data, reps).pools.values() for rep_id in pool.members}


def _paired(document: Document) -> list[tuple[documents.Path, str]]:
    named: list[tuple[documents.Path, str]] = []
    for number, pair in enumerate(document.data.get("pairs", [])):
        named.append((("pairs", number, "sdr"), pair["sdr"]))
        named += [(("pairs", number, "sales", place), rep_id) for place, rep_id in enumerate(pair["sales"])]
    return named


def _paired_in_no_pool(document: Document, reps: Mapping[str, Mapping[str, Any]]) -> list[Pointer]:
    placed = _placed(document, reps)
    return [document.fault(path, "this rep is in no pool") for path, one in _paired(document) if one not in placed]


def _odd_pairs(document: Document, reps: Mapping[str, Mapping[str, Any]]) -> list[Pointer]:
    """Return the reps of pairs who do the other's work or none, and the rules that go to pairs where there are none."""
    faults = []
    for path, rep_id in _paired(document):
        side, role = ("sdr" if path[-1] == "sdr" else "sales"), reps[rep_id]["rep.role"]
        if role != side:
            faults.append(document.fault(path, f"this rep has the role {role}, and is named as one of {side}"))
        if not reps[rep_id].get("rep.active"):
            faults.append(document.fault(path, "this rep is not active"))
    if not document.data.get("pairs"):
        for number, rule in enumerate(document.data["rules"]):
            if rule["to"] == assigning.PAIRED and "else" not in rule:
                faults.append(document.fault(("rules", number, "to"), "there are no pairs, and no else"))
    return faults


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
