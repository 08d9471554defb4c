"""Which reps of a pool a rule takes, and what a lead that waits for one of them waits for: pure."""

import json
from collections.abc import Callable, Mapping, Sequence
from hashlib import sha256
from typing import Any, Final, NamedTuple

Holds = Callable[[Mapping[str, Any]], bool]
MOST_VALUES: Final = 10_000
"""Of leads, for which it is remembered whom a rule takes."""


class Narrowing(NamedTuple):
    """Which reps of a pool a rule takes. They have a round of their own: whom it leaves out has no share in it."""

    rule: str
    holds: Holds
    of: str = ""
    """Names whom it takes, where that goes by the lead."""


class PerLead:
    """Which reps a rule takes for each lead, as `lead.country in rep.territories` says: a narrowing a set of reps.

    Not a value: leads that the same reps may have are shared in one round. See docs/decisions/0018.
    """

    def __init__(self, rule: str, reads: Sequence[str], holds: Holds, reps: Mapping[str, Mapping[str, Any]]) -> None:
        self._rule, self._reads, self._holds, self._reps = rule, tuple(reads), holds, reps
        self._by_values: dict[str, Narrowing] = {}
        self._by_reps: dict[str, Narrowing] = {}

    def about(self, values: Mapping[str, Any]) -> str:
        """Return what the rule reads of a lead, as JSON."""
        return json.dumps([values.get(name) for name in self._reads])

    def of(self, about: str) -> Narrowing:
        """Return the narrowing for leads of which this is read."""
        found = self._by_values.get(about)
        if found is None:
            if len(self._by_values) >= MOST_VALUES:
                self._by_values.clear()
            found = self._by_values[about] = self._narrowing(json.loads(about))
        return found

    def _narrowing(self, read: Sequence[Any]) -> Narrowing:
        lead = dict(zip(self._reads, read, strict=True))
        taken = frozenset(rep_id for rep_id, values in self._reps.items() if self._holds({**values, **lead}))
        of = sha256("\x1f".join(sorted(taken)).encode()).hexdigest()[:12]
        # One for each set: what is kept of it is found by it.
        made = Narrowing(self._rule, lambda values: values["rep.rep_id"] in taken, of)
        return self._by_reps.setdefault(of, made)


class Target(NamedTuple):
    """What a lead that waits is waiting for: room in a pool under a rule, or with one named rep."""

    rule: str
    pool: str
    rep_id: str = ""
    is_wide: bool = False
    """Whichever rep of the pool: what the rule narrows it to was waited for long enough."""
    of: str = ""
    """Whom the rule narrows the pool to for such a lead, where that goes by the lead."""
    about: str = ""
    """What it reads of such a lead for that, as JSON."""
