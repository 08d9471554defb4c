"""What runs in a process of forecast."""

from backbone import process
from forecast import api
from forecast.consumer import Handler
from forecast.settings import Settings

KINDS = (
    "LeadCaptured",
    "LeadUpdated",
    "LeadQualified",
    "LeadSalesReady",
    "LeadSalesQualified",
    "LeadHandedBack",
    "LeadRouted",
    "SettingsChanged",
)


async def compose(service: process.Service[Settings]) -> None:
    """Put the consumer and the routes together."""
    service.consume(["intake", "qualification", "routing", "console"], Handler(service.outbox).handle, kinds=KINDS)
    service.app.include_router(api.router(service.database, service.outbox))


def main() -> None:
    """Run forecast."""
    process.run("forecast", Settings, compose)


if __name__ == "__main__":
    main()
