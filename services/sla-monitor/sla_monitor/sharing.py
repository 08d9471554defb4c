"""What clocks of leads that are one, or were, have told together: nobody is told twice of one promise. Pure."""

from collections.abc import Iterable
from uuid import UUID

from backbone import times
from sla_monitor import chain, clocks
from sla_monitor.domain import Level, State
from sla_monitor.store_clocks import Clock


def go_on_from(clock: Clock, other: Clock) -> bool:
    """Let a clock go on where that of a lead stopped that is, or was, one with its own: it is the same promise.

    Whoever has been told of a step is not told again. What was told is taken back, if so, as it was told.
    """
    if clock.promise != other.promise:
        return False
    known, began = list(clocks.told_now(clock)), times.text(clock.terms.started_at)
    told = []
    for number, step in enumerate(other.steps[: other.step]):
        is_of = step.get("of_the_past", times.text(other.terms.started_at)) == began and "of_another" not in step
        if is_of and chain.take(known, step) is None:
            alert = clocks.alert_id(other, step["level"], number)
            told.append({name: step[name] for name in step if name != "of_the_past"} | {"alert": str(alert)})
    if not told:
        return False
    left = clock.steps[clock.step :]
    clock.steps = [*clock.steps[: clock.step], *told, *left]
    clock.step += len(told)
    if any(step["level"] == Level.BREACH for step in told):
        clock.breached_at = other.breached_at
    clocks.go_on(clock, left)
    return True


def give_back(clock: Clock, others: Iterable[Clock]) -> bool:
    """Leave to others that are no more one with its lead what they told of their own; it is told of this one anew.

    Leads that came at one instant have one promise while they are one, and two of the same terms when they are parted.
    """
    theirs = {alert for other in others if _is_same(clock, other) for alert in _own(other)}
    shared = [step for step in clocks.told_now(clock) if "alert" in step and step["level"] != Level.WARNING]
    given = [step for step in shared if UUID(step["alert"]) in theirs]
    if not given:
        return False
    again = [{name: step[name] for name in step if name not in ("alert", "retracted")} for step in given]
    fired = [{**step, "of_another": True} if step in given else step for step in clock.steps[: clock.step]]
    clock.steps = [*fired, *sorted([*again, *clock.steps[clock.step :]], key=chain.in_order)]
    if not clocks.deadlines_told(clock):
        clock.breached_at = None
        clock.state = State.RUNNING if clock.state is State.BREACHED else clock.state
    clock.retracted = clock.retracted and clocks.is_taken_back(clock)
    if clock.state is State.RUNNING:
        clock.next_at = clocks.step_at(clock, clock.step)
    return True


def _is_same(clock: Clock, other: Clock) -> bool:
    is_promise = clock.promise == other.promise and clock.terms.started_at == other.terms.started_at
    return is_promise and clock.lead_id != other.lead_id


def _own(clock: Clock) -> list[UUID]:
    """Return the alerts that a clock was the first to tell of, in the window that runs now."""
    return [
        clocks.alert_id(clock, step["level"], number)
        for number, step in enumerate(clock.steps[: clock.step])
        if "alert" not in step and "of_the_past" not in step
    ]
