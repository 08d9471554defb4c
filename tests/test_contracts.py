"""Contracts: one golden example an event, in proto/golden, which every later version has to read as this one does.

An example names all fields of its event, so that a number given to another field is noticed. A new field goes into the
example's `message`; `python -m tests.test_contracts` then writes `value` anew for examples whose fields were added to.
"""

import base64
import json
import re
from pathlib import Path
from typing import Any, Final
from uuid import UUID

import pytest
from google.protobuf import json_format
from google.protobuf.message import Message

from backbone import envelope, times, vault
from backbone.testing.stage import Stage
from handoff.events import topics

GOLDEN: Final = Path(__file__).parents[1] / "proto" / "golden"
EXAMPLES: Final = sorted(GOLDEN.glob("*/*.json"))
KEY: Final = bytes(range(32))
"""What the examples are sealed with."""
ABOUT_NO_LEAD: Final = {
    "AccountChanged",
    "DefinitionActivated",
    "DefinitionRetired",
    "ForecastAdjusted",
    "ForecastSubmitted",
    "ReasonsChanged",
    "RepChanged",
    "SettingsChanged",
}
EVERYWHERE: Final = {"PersonalDataDeleted"}
TABLE: Final = {
    "intake": "LeadCaptured LeadUpdated LeadMerged LeadUnmerged EngagementRecorded TouchRecorded ConsentChanged"
    " PersonalDataErased",
    "qualification": "LeadScored LeadQualified LeadSalesReady LeadSalesQualified LeadHandedBack LeadDemoted"
    " LeadRecycled LeadDisqualified HotLeadDetected DefinitionActivated",
    "routing": "LeadRouted LeadWaiting AssignmentAccepted AssignmentUpdated AssignmentReleased RepChanged"
    " AccountChanged",
    "sla": "ClockStarted ClockMet SlaWarned SlaBreached BreachRetracted SlaEscalated EscalationRetracted AlertRestored",
    "forecast": "OpportunityOpened OpportunityMoved OpportunityWon OpportunityLost ForecastAdjusted ForecastSubmitted",
    "notifications": "NotificationDelivered NotificationFailed",
    "console": "SettingsChanged",
}
"""What other systems may rely on; further events may travel beside these."""


def as_sent(example: dict[str, Any]) -> envelope.Incoming:
    return envelope.open_record(
        topic=example["topic"].split(".")[1],
        partition=0,
        offset=0,
        key=bytes.fromhex(example["key"]),
        raw_headers=[(name, value.encode()) for name, value in example["headers"].items()],
        value=base64.b64decode(example["value"]),
    )


def test_every_event_of_every_topic_has_its_example() -> None:
    there = {topic: set(events) for topic, events in topics.EVENTS.items()}
    assert {topic: {*names.split(), *EVERYWHERE} - there[topic] for topic, names in TABLE.items()} == {
        topic: set() for topic in there
    }
    assert {(path.parent.name, path.stem) for path in EXAMPLES} == {
        (topic, name) for topic, names in there.items() for name in names
    }


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_an_example_is_read_as_it_was_meant(path: Path) -> None:
    example = json.loads(path.read_text())
    event = as_sent(example)
    assert (event.type, example["topic"]) == (path.stem, f"handoff.{path.parent.name}.v1")
    assert json_format.MessageToDict(event.message, preserving_proto_field_name=True) == example["message"]
    assert unset(event.message, about_no_lead=path.stem in ABOUT_NO_LEAD) == []
    again = envelope.headers(
        event_id=event.id,
        ce_type=f"{example['topic']}.{path.stem}",
        source=f"/handoff/{path.parent.name}",
        key=event.subject.bytes,
        version=event.version,
        occurred_at=event.time,
        traceparent=event.traceparent,
    )
    assert {name: value.decode() for name, value in again} == example["headers"]


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_a_person_is_known_only_to_who_has_the_key(path: Path) -> None:
    example = json.loads(path.read_text())
    message = as_sent(example).message
    clear = base64.b64decode(example["value"]).lower()
    assert not any(word in clear for word in (b"amara", b"okafor", b"901820", b"after lunch"))
    for field, sealed in message.ListFields():
        if field.name == "sealed":
            opened = vault.open_sealed(
                KEY, UUID(example["message"].get("key_lead_id") or message_lead(message)), sealed
            )
            assert opened


def message_lead(message: Message) -> str:
    return str(message.stamp.lead_id)  # type: ignore[attr-defined]


def unset(message: Message, *, about_no_lead: bool, place: str = "") -> list[str]:
    """Return the fields that an example leaves out."""
    allowed = {".stamp.lead_id", ".stamp.arrived_at"} if about_no_lead else set()
    found = []
    said = {field.name: value for field, value in message.ListFields()}
    for field in message.DESCRIPTOR.fields:
        here = f"{place}.{field.name}"
        if field.name not in said:
            found += [here] if here not in allowed else []
            continue
        kind = field.message_type
        if kind is not None and kind.file.package == "handoff.events.v1" and not kind.GetOptions().map_entry:
            values = said[field.name] if field.is_repeated else [said[field.name]]
            found += [one for value in values for one in unset(value, about_no_lead=about_no_lead, place=here)]
    return found


async def test_a_record_is_a_cloudevent_and_its_key_is_an_id(start: Stage) -> None:
    intake = await start("intake")
    person = {"email": "amara@fintrove.example", "phone": "+49 30 901820", "first_name": "Amara", "last_name": "Okafor"}
    private = {**person, "attributes": {"message": "Call me after lunch"}, "external_id": "crm-4711"}
    lead = (await intake.http.post("/v1/leads", json=private)).json()
    await intake.published(lambda events: len(events) == 1)
    (record,) = start.tap("intake").records
    headers = {name: value.decode() for name, value in record.headers}
    assert record.key == UUID(lead["lead_id"]).bytes
    assert headers.pop("ce_id") == lead["event_id"]
    assert times.parse(headers.pop("ce_time"))
    assert re.fullmatch("00-[0-9a-f]{32}-[0-9a-f]{16}-0[01]", headers.pop("traceparent"))
    assert headers == {
        "ce_specversion": "1.0",
        "ce_type": "handoff.intake.v1.LeadCaptured",
        "ce_source": "/handoff/intake",
        "ce_subject": lead["lead_id"],
        "ce_subjectversion": "1",
        "content-type": "application/protobuf",
    }
    clear = b" ".join([record.value, *(value for _, value in record.headers)]).lower()
    assert not any(word in clear for word in (b"amara", b"okafor", b"901820", b"after lunch"))


def write_values() -> None:
    """Write `value` anew where an example says something else than it carries."""
    for path in EXAMPLES:
        example = json.loads(path.read_text())
        message = json_format.ParseDict(example["message"], topics.EVENTS[path.parent.name][path.stem]())
        if message != as_sent(example).message:
            example["value"] = base64.b64encode(message.SerializeToString(deterministic=True)).decode()
            path.write_text(json.dumps(example, indent=2, ensure_ascii=False) + "\n")
            print(f"{path.parent.name}/{path.stem}")


if __name__ == "__main__":
    write_values()
