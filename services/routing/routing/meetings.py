"""Who hosts the meetings that a lead booked and nobody called off. Pure."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from backbone import normal_forms

MOST: Final = 50
"""Meetings of a lead that are remembered before the newest."""
Meetings = Sequence[Sequence[str]]
"""(Id, host's address), in the order in which they were booked; "" for what the source does not name."""


def booked(meetings: Meetings, said: Mapping[str, Any]) -> Meetings:
    """Return the meetings with one more, or one that was told anew: without a host it keeps whom it had."""
    name = normal_forms.identifier(said.get("meeting_id"))
    before = next((one[1] for one in meetings if one[0] == name), "")
    return [*_but(meetings, name)[-MOST:], (name, str(said.get("host_email") or "").lower() or before)]


def cancelled(meetings: Meetings, said: Mapping[str, Any]) -> Meetings:
    """Return the meetings without the one that was called off: the last where the source does not say which."""
    name = normal_forms.identifier(said.get("meeting_id"))
    return _but(meetings, name) if name else meetings[:-1]


def host(meetings: Meetings) -> str | None:
    """Return who hosts the one that was booked last."""
    return next((one[1] for one in reversed(meetings) if one[1]), None)


def _but(meetings: Meetings, name: str) -> Meetings:
    return [one for one in meetings if one[0] != name]


CHANGES: Final[Mapping[str, Callable[[Meetings, Mapping[str, Any]], Meetings]]] = {
    "meeting_booked": booked,
    "meeting_cancelled": cancelled,
}
"""By the kind of the engagement that tells of it."""
