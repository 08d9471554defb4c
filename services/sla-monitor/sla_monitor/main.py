"""What runs in a process of sla-monitor."""

from backbone import process
from sla_monitor import api
from sla_monitor.consumer import Handler
from sla_monitor.firing import Firing
from sla_monitor.settings import Settings
from sla_monitor.store import Policies

KINDS = (
    "LeadCaptured",
    "LeadUpdated",
    "EngagementRecorded",
    "TouchRecorded",
    "LeadRouted",
    "AssignmentAccepted",
    "AssignmentReleased",
)


async def compose(service: process.Service[Settings]) -> None:
    """Put the consumer, the firing and the routes together."""
    handler = Handler(service.outbox, Policies())
    consumer = service.consume(["intake", "qualification", "routing"], handler.handle, kinds=KINDS)
    firing = Firing(service.database, service.outbox, consumer, catch_up_s=service.settings.catch_up_seconds)
    service.app.include_router(api.router(service.database, service.stopping))
    service.work("firing", firing.run)


def main() -> None:
    """Run sla-monitor."""
    process.run("sla", Settings, compose)


if __name__ == "__main__":
    main()
