"""What travels on which topic: the one place where topic, event type and message meet."""

from collections.abc import Mapping
from functools import lru_cache
from typing import Final

from google.protobuf.message import Message

from handoff.events.v1 import (
    common_pb2,
    console_pb2,
    forecast_pb2,
    intake_pb2,
    notifications_pb2,
    qualification_pb2,
    routing_pb2,
    sla_pb2,
)

_OWN_EVENTS: Final = {
    "intake": intake_pb2,
    "qualification": qualification_pb2,
    "routing": routing_pb2,
    "sla": sla_pb2,
    "forecast": forecast_pb2,
    "notifications": notifications_pb2,
    "console": console_pb2,
}
_PARTS: Final = {"Considered", "Clock", "Alert", "Opportunity", "Notification", "Supply"}

TOPICS: Final = tuple(_OWN_EVENTS)

EVENTS: Final[Mapping[str, Mapping[str, type[Message]]]] = {
    topic: {
        **{
            name: getattr(module, name)
            for name in sorted(module.DESCRIPTOR.message_types_by_name)
            if name not in _PARTS
        },
        "PersonalDataDeleted": common_pb2.PersonalDataDeleted,
    }
    for topic, module in _OWN_EVENTS.items()
}
"""Topic's short name -> event's name -> message class."""


def event_type(topic: str, message: Message) -> str:
    """Return the CloudEvents type, such as `handoff.routing.v1.LeadRouted`; KeyError if the topic does not carry it."""
    return _event_type(topic, type(message).__name__)


@lru_cache
def _event_type(topic: str, name: str) -> str:
    if name not in EVENTS[topic]:
        raise KeyError(f"{name} does not travel on {topic}")
    return f"handoff.{topic}.v1.{name}"


def message_class(ce_type: str) -> type[Message] | None:
    """Return the message class of a CloudEvents type, None for one that this version does not know."""
    prefix, _, name = ce_type.rpartition(".")
    topic = prefix.removeprefix("handoff.").removesuffix(".v1")
    return EVENTS.get(topic, {}).get(name)
