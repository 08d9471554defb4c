"""What runs in a process of routing."""

from backbone import process
from routing import api, api_accounts, api_hand_over, api_policy, api_queue, api_reps, timers
from routing.consumer import Handler
from routing.settings import Settings
from routing.store_group import Cache

KINDS = (
    "LeadCaptured",
    "LeadUpdated",
    "TouchRecorded",
    "EngagementRecorded",
    "LeadQualified",
    "LeadSalesReady",
    "LeadSalesQualified",
    "LeadHandedBack",
    "LeadDemoted",
    "LeadRecycled",
    "LeadDisqualified",
    "LeadConverted",
    "ReasonsChanged",
    "OpportunityOpened",
    "OpportunityMoved",
    "OpportunityWon",
    "OpportunityLost",
    "SlaEscalated",
    "EscalationRetracted",
)


async def compose(service: process.Service[Settings]) -> None:
    """Put the routes, the consumer and the timer together; they share what is known of the group."""
    cache = Cache()
    handler = Handler(service.outbox, cache)
    service.consume(["intake", "qualification", "sla", "forecast"], handler.handle, kinds=KINDS)
    for routes in (api_reps, api_policy, api_accounts, api_hand_over, api):
        service.serve(routes.router(service.database, service.outbox, cache))
    service.serve(api_queue.router(service.database))
    service.work("timers", lambda: timers.run(service.database, service.outbox, cache))


def main() -> None:
    """Run routing."""
    process.run("routing", Settings, compose)


if __name__ == "__main__":
    main()
