"""What runs in a process of qualification."""

from backbone import process
from qualification import api, api_definitions, api_reasons, api_reports
from qualification.background import Background
from qualification.consumer import KINDS, Handler
from qualification.settings import Settings
from qualification.store_definitions import Compiled


async def compose(service: process.Service[Settings]) -> None:
    """Put the routes, the consumer and the background scoring together."""
    compiled, most = Compiled(), service.settings.most_engagements
    service.consume(
        ["intake", "routing", "forecast", "console"], Handler(service.outbox, compiled, most).handle, kinds=KINDS
    )
    background = Background(database=service.database, outbox=service.outbox, compiled=compiled, most=most)
    service.work("scoring of what time changes", background.run)
    service.serve(api_definitions.router(service.database, service.outbox, compiled, most=most))
    service.serve(api_reports.router(service.database, compiled))
    service.serve(api_reasons.router(service.database, service.outbox))
    service.serve(api.router(service.database, service.outbox, compiled, most=most))


def main() -> None:
    """Run qualification."""
    process.run("qualification", Settings, compose)


if __name__ == "__main__":
    main()
