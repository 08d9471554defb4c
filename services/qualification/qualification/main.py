"""What runs in a process of qualification."""

from backbone import process
from qualification import api, api_definitions, reasons, rescoring
from qualification.consumer import Handler
from qualification.settings import Settings
from qualification.store_definitions import Compiled

KINDS = (
    "LeadCaptured",
    "LeadUpdated",
    "EngagementRecorded",
    "LeadRouted",
    "AssignmentReleased",
    "OpportunityWon",
    "OpportunityLost",
    "OpportunityMoved",
)


async def compose(service: process.Service[Settings]) -> None:
    """Put the routes, the consumer and the background rescoring together."""
    compiled = Compiled()
    handler = Handler(service.outbox, compiled, service.settings)
    service.consume(["intake", "routing", "forecast"], handler.handle, kinds=KINDS)
    service.app.include_router(api_definitions.router(service.database, service.outbox))
    service.app.include_router(reasons.router(service.database))
    service.app.include_router(api.router(service.database, service.outbox, compiled))
    most = service.settings.most_engagements
    service.work("rescoring", lambda: rescoring.run(service.database, service.outbox, compiled, most=most))


def main() -> None:
    """Run qualification."""
    process.run("qualification", Settings, compose)


if __name__ == "__main__":
    main()
