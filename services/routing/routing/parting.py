"""Why a lead is to change hands while a rep still has it, and how that rep's assignment ends by it: pure.

There may be several reasons at once: made ready for sales, handed over by a manager, taken away for want of a touch.
Each stands until it is done or withdrawn by itself; none of them makes another one forgotten.
"""

from typing import Final, NamedTuple

Reasons = frozenset[str]

NONE: Final[Reasons] = frozenset()
CONVERTED: Final = "converted"
"""An SDR made it ready for sales."""
MISSED: Final = "missed"
"""Its rep missed an SLA."""
NOT_ACCEPTED: Final = "not_accepted"
"""Its rep did not answer in time."""
_HANDED_OVER: Final = "handed_over:"


class Parting(NamedTuple):
    """How an assignment ends."""

    outcome: str
    reason: str
    """A code, of a manager's what they typed."""
    by: str


def handed_over(reason: str) -> str:
    """Return the reason of a lead that changes hands by a person's word."""
    return f"{_HANDED_OVER}{reason}"


def is_handed_over(reasons: Reasons) -> bool:
    """Say whether a person takes the lead from whoever has it."""
    return any(each.startswith(_HANDED_OVER) for each in reasons)


def is_by_person(reasons: Reasons) -> bool:
    """Say whether the lead goes to somebody else as it is: who was called is not to be called as if nobody had."""
    return CONVERTED not in reasons and is_handed_over(reasons)


def joined(reasons: Reasons, one: str) -> Reasons:
    """Return the reasons with one more; of a person's words the last one counts."""
    if one.startswith(_HANDED_OVER):
        reasons = frozenset(each for each in reasons if not each.startswith(_HANDED_OVER))
    return reasons | {one}


def answered(reasons: Reasons, *, touched: bool) -> Reasons:
    """Return what is left of the reasons when the rep takes the lead on; only a touch makes up for a missed SLA."""
    return reasons - ({NOT_ACCEPTED, MISSED} if touched else {NOT_ACCEPTED})


def ending(reasons: Reasons, *, is_for_sales: bool) -> Parting:
    """Return how the assignment ends; `is_for_sales`: who gets the lead is one of those whom it was made ready for."""
    if CONVERTED in reasons and is_for_sales:
        return Parting("converted", "", "qualification")
    for one in reasons:
        if one.startswith(_HANDED_OVER):
            return Parting("reassigned", one.removeprefix(_HANDED_OVER), "manager")
    if MISSED in reasons:
        return Parting("reassigned", "sla_missed", "sla")
    return Parting("declined", NOT_ACCEPTED, "routing")
