"""What runs in a process of forecast."""

from typing import Final

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
    "ReasonsChanged",
    "LeadRouted",
    "OpportunityHandedOver",
    "SettingsChanged",
)
REST_S: Final = 0.5
"""Reports are asked for by people: half a second is now to them, and larger batches cost less."""


async def compose(service: process.Service[Settings]) -> None:
    """Put the consumer and the routes together."""
    service.consume(
        ["intake", "qualification", "routing", "console"], Handler(service.outbox).handle, kinds=KINDS, rest_s=REST_S
    )
    service.serve(api.router(service.database, service.outbox))
    service.serve(api_reports.router(service.database))
    service.serve(api_settings.router(service.database))


def main() -> None:
    """Run forecast."""
    process.run("forecast", Settings, compose)


if __name__ == "__main__":
    main()
