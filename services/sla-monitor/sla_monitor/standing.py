"""Which alerts stand: leads that are one, or were, have clocks that were told of by the same alerts. Pure."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from enum import IntEnum
from typing import Any
from uuid import UUID

from backbone import times
from sla_monitor import clocks
from sla_monitor.domain import ARRIVAL, Level, State
from sla_monitor.store_clocks import Clock

Link = tuple[UUID, UUID]
"""(Merged, survivor)."""


class Weight(IntEnum):
    """Whose word on an alert counts; that of the highest there is."""

    NOBODYS = 0
    """It was told of an arrival that is the lead's no more, and nobody else's."""
    ANOTHERS = 1
    """Another stands for the lead by now, or the lead does no more for whose deadline it was."""
    OWN = 2


def stand(some: Sequence[Clock], links: Mapping[Link, bool]) -> dict[UUID, bool]:
    """Return by alert whether it stands, by the clocks that it was told of; not of warnings, which are never wrong.

    One that several clocks have stands while any of them says so, of those with the same right to. `links` are of leads
    that are one, or were: whether they are by now.
    """
    held = [(clock, step, alert) for clock in some for step, alert in _told(clock)]
    owners = {alert: clock.lead_id for clock, step, alert in held if "alert" not in step}
    merged = {member for (member, _), is_so in links.items() if is_so}
    words: dict[UUID, dict[Weight, list[tuple[Clock, bool]]]] = {}
    for clock, step, alert in held:
        owner = owners.get(alert, clock.lead_id)
        weight = _of_the_past(clock, step, some)
        if weight is None:
            is_parted = (owner, clock.lead_id) in links and owner not in merged
            weight = Weight.ANOTHERS if is_parted or clock.lead_id in merged else Weight.OWN
        words.setdefault(alert, {}).setdefault(weight, []).append((clock, not step.get("retracted")))
    return {alert: _stands(max(by_weight), by_weight[max(by_weight)], links) for alert, by_weight in words.items()}


def _stands(weight: Weight, words: Sequence[tuple[Clock, bool]], links: Mapping[Link, bool]) -> bool:
    """Say whether the word of any of these clocks is that it stands, but for those that went on as another of them."""
    leads = {clock.lead_id for clock, _ in words}
    merged = {member for (member, survivor), is_so in links.items() if is_so and survivor in leads}
    return weight is not Weight.NOBODYS and any(
        word for clock, word in words if clock.state is not State.CANCELLED or clock.lead_id not in merged
    )


def _told(clock: Clock) -> Iterator[tuple[Mapping[str, Any], UUID]]:
    for number, step in enumerate(clock.steps[: clock.step]):
        if step["level"] != Level.WARNING:
            yield step, clocks.alert_id(clock, step["level"], number)


def told(clock: Clock) -> Mapping[UUID, Mapping[str, Any]]:
    """Return by alert the steps that it told of, that deadlines were missed and what followed."""
    return {alert: step for step, alert in _told(clock)}


def _of_the_past(clock: Clock, step: Mapping[str, Any], some: Iterable[Clock]) -> Weight | None:
    """Weigh what was told of an arrival that is the lead's no more; None where it is."""
    past = step.get("of_the_past")
    if clock.terms.source != ARRIVAL or past is None:
        return None
    return Weight.ANOTHERS if any(_is_theirs(one, clock, past) for one in some) else Weight.NOBODYS


def _is_theirs(other: Clock, clock: Clock, past: str) -> bool:
    """Say whether it is the promise of another lead, which takes over what was told of it, if it has not yet."""
    is_same = other.promise == clock.promise and times.text(other.terms.started_at) == past
    return is_same and other.lead_id != clock.lead_id
