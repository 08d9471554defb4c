"""What runs in a process of sla-monitor."""

from backbone import process
from sla_monitor import api, api_alerts, api_policies, api_reports, recomputing
from sla_monitor.applying import Applying
from sla_monitor.consumer import Handler
from sla_monitor.firing import Firing
from sla_monitor.settings import Settings
from sla_monitor.store_policies import Policies

KINDS = (
    "LeadCaptured",
    "LeadUpdated",
    "EngagementRecorded",
    "TouchRecorded",
    "LeadQualified",
    "LeadSalesReady",
    "LeadSalesQualified",
    "LeadHandedBack",
    "LeadDemoted",
    "LeadRecycled",
    "LeadDisqualified",
    "LeadConverted",
    "ReviewQueued",
    "ReviewEnded",
    "DefinitionActivated",
    "DefinitionRetired",
    "LeadRouted",
    "LeadWaiting",
    "AssignmentAccepted",
    "AssignmentUpdated",
    "AssignmentReleased",
    "RepChanged",
    "OpportunityOpened",
    "OpportunityMoved",
    "OpportunityWon",
    "SettingsChanged",
)
TOPICS = ("intake", "qualification", "routing", "forecast", "console")


async def compose(service: process.Service[Settings]) -> None:
    """Put the consumer, the firing and the routes together."""
    policies = Policies()
    applying = Applying(service.outbox, policies)
    handler = Handler(applying)
    settings, db = service.settings, service.database
    consumer = service.consume(TOPICS, handler.handle, kinds=KINDS)
    firing = Firing(
        db,
        service.outbox,
        consumer,
        namespace=settings.namespace,
        partitions=settings.partitions,
        catch_up_s=settings.catch_up_seconds,
    )
    service.serve(api.router(db, applying))
    service.serve(api_alerts.router(db, service.stopping))
    service.serve(api_policies.router(db))
    service.serve(api_reports.router(db, consumer))
    service.work("firing", firing.run)
    service.work("ends", firing.keep_ends)
    service.work("recomputing", lambda: recomputing.run(db, applying))


def main() -> None:
    """Run sla-monitor."""
    process.run("sla", Settings, compose)


if __name__ == "__main__":
    main()
