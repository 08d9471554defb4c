"""What clocks of leads that are one, or were, have told together: nobody is told twice of one promise. Pure."""

from backbone import times
from sla_monitor import chain, clocks
from sla_monitor.domain import Level
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
        is_of = step.get("of_the_past", times.text(other.terms.started_at)) == began
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
