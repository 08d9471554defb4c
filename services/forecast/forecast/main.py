"""What runs in a process of forecast."""

from backbone import process
from forecast import api, api_reports, api_settings
from forecast.consumer import Handler
from forecast.settings import Settings

KINDS = (
    "LeadCaptured",
    "LeadUpdated",
    "LeadQualified",
    "LeadSalesReady",
    "LeadSalesQualified",
    "LeadHandedBack",
    "LeadRecycled",
    "LeadDisqualified",
    "LeadRouted",
    "SettingsChanged",
)


async def compose(service: process.Service[Settings]) -> None:
    """Put the consumer and the routes together."""
    service.consume(["intake", "qualification", "routing", "console"], Handler(service.outbox).handle, kinds=KINDS)
    service.app.include_router(api.router(service.database, service.outbox))
    service.app.include_router(api_reports.router(service.database))
    service.app.include_router(api_settings.router(service.database))


def main() -> None:
    """Run forecast."""
    process.run("forecast", Settings, compose)


if __name__ == "__main__":
    main()
