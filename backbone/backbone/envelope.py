"""CloudEvents 1.0, binary mode, on Kafka: an event's attributes are headers, its value is one protobuf message."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import lru_cache
from typing import Final
from uuid import UUID

import msgspec
from google.protobuf.message import DecodeError, Message

from backbone import ids, times
from handoff.events import topics

CONTENT_TYPE: Final = b"application/protobuf"
TYPES: Final = 256
"""Event types whose message class is kept in memory; there are some fifty."""

Headers = Sequence[tuple[str, bytes]]


class Poison(Exception):
    """A record that can never be applied; the text says why, without any of its values."""


class Unknown(Exception):
    """An event type of a newer version, which this one does not need."""


class Incoming(msgspec.Struct, frozen=True, kw_only=True):
    """One event as a handler gets it. `subject` is the survivor where `original_subject` was merged."""

    id: UUID
    type: str
    """The event's short name, such as LeadRouted."""
    topic: str
    """The topic's short name, such as routing."""
    subject: UUID
    original_subject: UUID
    version: int
    time: datetime
    message: Message
    traceparent: str
    partition: int
    offset: int
    erased: bool = False
    undone: bool = False
    """Of a merge that another partition tells of late: the two are no longer one."""

    def about(self, survivor: UUID, *, erased: bool, undone: bool = False) -> "Incoming":
        """Return the event with its link followed, its tombstone known, and whether it was undone since."""
        if (survivor, erased, undone) == (self.subject, self.erased, self.undone):
            return self
        return msgspec.structs.replace(self, subject=survivor, erased=erased, undone=undone)


def headers(
    *, event_id: UUID, ce_type: str, source: str, key: bytes, version: int, occurred_at: datetime, traceparent: str
) -> list[tuple[str, bytes]]:
    """Return the headers of a record."""
    return [
        ("ce_specversion", b"1.0"),
        ("ce_id", str(event_id).encode()),
        ("ce_type", ce_type.encode()),
        ("ce_source", source.encode()),
        ("ce_subject", _uuid_text(key)),
        ("ce_time", times.text(occurred_at).encode()),
        ("ce_subjectversion", str(version).encode()),
        ("traceparent", traceparent.encode()),
        ("content-type", CONTENT_TYPE),
    ]


def _uuid_text(key: bytes) -> bytes:
    """Return a UUID's text without making the UUID: this runs for each record."""
    if len(key) != 16:
        return b""
    digits = key.hex().encode()
    return b"-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))


def subject_of(key: bytes | None) -> UUID | None:
    """Return the subject that a record's key names, None for a key that is none."""
    return ids.of_bytes(key) if key is not None and len(key) == 16 else None


def open_record(
    *, topic: str, partition: int, offset: int, key: bytes | None, raw_headers: Headers, value: bytes | None
) -> Incoming:
    """Read a record. Poison for one that is no event of ours, Unknown for a type that this version does not know."""
    attributes: Mapping[str, bytes] = dict(raw_headers)
    subject = subject_of(key)
    if subject is None:
        raise Poison("the key is not a lead's id")
    message_class = _message_class(attributes.get("ce_type", b""))
    try:
        return Incoming(
            id=ids.parse(attributes["ce_id"].decode()),
            type=message_class.__name__,
            topic=topic,
            subject=subject,
            original_subject=subject,
            version=int(attributes["ce_subjectversion"]),
            time=times.parse(attributes["ce_time"].decode()),
            message=_decode(message_class, value),
            traceparent=attributes.get("traceparent", b"").decode(),
            partition=partition,
            offset=offset,
        )
    except (KeyError, ValueError) as error:
        raise Poison("a CloudEvents header is missing or malformed") from error


@lru_cache(maxsize=TYPES)
def _message_class(ce_type: bytes) -> type[Message]:
    name = ce_type.decode(errors="replace")
    message_class = topics.message_class(name)
    if message_class is not None:
        return message_class
    if name.startswith("handoff."):
        raise Unknown(name)
    raise Poison("the header ce_type is missing or not ours")


def _decode(message_class: type[Message], value: bytes | None) -> Message:
    try:
        return message_class.FromString(value or b"")
    except DecodeError as error:
        raise Poison("the value is not the message that ce_type names") from error
