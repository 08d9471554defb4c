"""What runs in a process of lead-intake."""

from typing import Final

from backbone import database, process
from lead_intake import api, api_connections, api_events, consumer, describing, doors, erasing
from lead_intake.hooks import Hooks
from lead_intake.intaking import Flusher
from lead_intake.settings import Settings
from lead_intake.vaulting import Vault

REST_S: Final = 0.5
"""Who owns a lead now is asked by people, who do not notice half a second; larger batches cost less."""


async def compose(service: process.Service[Settings]) -> None:
    """Put the doors, the reading routes, the flusher and the consumer together."""
    settings = service.settings
    keys = await database.connect_patiently(
        settings.vault_database_url, name="vault", size=4, patience_s=process.DATABASE_PATIENCE_S
    )
    service.at_close(keys.close)
    vault = Vault(keys, settings.master_key)
    await vault.prepare()
    flusher = Flusher(service.database, vault, service.outbox, limit=settings.queue_limit)
    hooks = Hooks(settings, service.database, vault, flusher)
    service.open_doors([*doors.routes(settings, vault, flusher), hooks.route()])
    service.serve(api_connections.router(settings, service.database, vault))
    service.serve(api_events.router(service.database, vault, hooks))
    service.serve(api.router(settings, service.database, vault, service.outbox, flusher))
    describing.publish(service.app)
    service.work("flusher", flusher.run)
    service.work("erasures", erasing.finishing(service.database, vault, service.outbox))
    # Kafka being away must not keep leads out, so readiness does not ask for the consumer.
    service.consume(
        ["routing", "qualification", "sla", "forecast", "notifications", "console"],
        consumer.handle,
        kinds=("LeadRouted", "AssignmentReleased", "PersonalDataDeleted"),
        rest_s=REST_S,
        gates_readiness=False,
    )


def main() -> None:
    """Run lead-intake."""
    process.run("intake", Settings, compose)


if __name__ == "__main__":
    main()
