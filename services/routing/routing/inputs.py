"""What a decision read of its lead, as it is kept with it and read again."""

from collections.abc import Mapping
from dataclasses import fields
from datetime import datetime
from operator import attrgetter
from typing import Any, Final

import msgspec

from backbone import lead_values
from handoff.events.v1 import common_pb2
from routing.domain import Lead
from routing.store_accounts import NOTHING_KNOWN

_NOT_TOLD: Final = {**lead_values.of(common_pb2.LeadFields(), live=True), **NOTHING_KNOWN}
"""The values of a lead of whom nothing is known but that it is news. They are not kept: most leads have most of them,
and older decisions, which did not read some names yet, were made over such leads. What stands here stays."""
_DEFAULTS: Final = {one.name: one.default for one in fields(Lead) if one.name not in ("lead_id", "values")}
_read: Final = attrgetter(*_DEFAULTS)
_INSTANTS: Final = ("created_at", "waiting_since", "previous_at")


def encode(lead: Lead) -> bytes:
    """Return what a decision read of its lead, but for what is as of any lead."""
    said = {name: value for name, value in zip(_DEFAULTS, _read(lead), strict=True) if value != _DEFAULTS[name]}
    if lead.declined:
        said["declined"] = sorted(lead.declined)
    values = lead.values
    said["values"] = {name: values[name] for name in values if name not in _NOT_TOLD or values[name] != _NOT_TOLD[name]}
    return msgspec.json.encode(said)


def lead_of(row: Mapping[str, Any]) -> Lead:
    """Return what a stored decision read of its lead. The decision has to have been computed: it has inputs."""
    said = msgspec.json.decode(row["inputs"])
    said["values"] = {**_NOT_TOLD, **said["values"]}
    said["declined"] = frozenset(said.get("declined", ()))
    instants = {name: datetime.fromisoformat(said[name]) for name in _INSTANTS if said.get(name)}
    return Lead(lead_id=row["lead_id"], **{**said, **instants})
