"""What runs in a process of notifications."""

from typing import Final

from backbone import process
from notifications import api
from notifications.consumer import Handler
from notifications.sending import Sender
from notifications.settings import Settings

KINDS = (
    "LeadCaptured",
    "LeadUpdated",
    "LeadRouted",
    "RepChanged",
    "LeadHandedBack",
    "SlaWarned",
    "SlaBreached",
    "SlaEscalated",
)
REST_S: Final = 0.25
"""A message takes longer than a quarter of a second to be read, and larger batches cost less."""


async def compose(service: process.Service[Settings]) -> None:
    """Put the consumer, the sender and the routes together."""
    email_on = bool(service.settings.smtp_url)
    handler = Handler(service.outbox, email_on=email_on)
    service.consume(
        ["intake", "qualification", "routing", "sla", "forecast"], handler.handle, kinds=KINDS, rest_s=REST_S
    )
    sender = Sender(service.database, service.outbox, service.settings)

    def wake() -> None:
        if handler.some_wait:
            handler.some_wait = False
            sender.wake()

    # Not each commit: most messages are the console's, which nobody has to send, and a claim is a transaction.
    service.database.after_commit.append(wake)
    service.at_close(sender.close)
    service.work("sender", sender.run)
    service.serve(api.router(service.database, email_on=email_on, anywhere=service.settings.allow_private_webhooks))


def main() -> None:
    """Run notifications."""
    process.run("notifications", Settings, compose)


if __name__ == "__main__":
    main()
