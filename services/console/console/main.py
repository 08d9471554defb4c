"""What runs in a process of the console."""

import asyncio
import os
from pathlib import Path
from typing import Final

import asyncpg
import structlog
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from backbone import process, tokens, vault
from backbone.database import Database
from console import (
    acting,
    api,
    api_accounts,
    assets,
    bell,
    consumer,
    domain,
    live,
    naming,
    pages,
    refusing,
    signing_in,
    store,
    store_accounts,
    store_changes,
)
from console.settings import Settings

SWEEP_EVERY_S: Final = 60.0
REST_S: Final = 0.1
"""Between busy batches: most events of a lead then come in one, and are one write; a quiet house does not rest."""

log = structlog.get_logger()


async def compose(service: process.Service[Settings]) -> None:
    """Put the keys, the accounts, the pages, their stream and the consumer together."""
    settings, db = service.settings, service.database
    key = _signing_key(settings.signing_key)
    await _trust(service, key)
    await api_accounts.make_first(db, settings)
    proxies = os.environ.get("FORWARDED_ALLOW_IPS", "127.0.0.1")
    service.app.add_middleware(ProxyHeadersMiddleware, trusted_hosts=proxies)
    doors = signing_in.Doors(db, service.access)
    ring = bell.Bell(db)
    db.after_commit.append(ring.commit)
    hands = acting.Hands.of(key, settings.token_life_seconds, settings.routing_url, settings.intake_url)
    service.at_close(hands.close)
    keys = vault.KeyClient(settings.intake_url, settings.service_key)
    service.at_close(keys.close)
    service.consume(consumer.TOPICS, consumer.Handler(service.outbox).handle, kinds=consumer.KINDS, rest_s=REST_S)
    service.work("bell", ring.run)
    service.work("names", naming.Names(db, keys, ring).run)
    service.work("sweep", lambda: _sweep_forever(db))
    service.serve(api.router(db, service.outbox, service.access, key, settings.service_keys))
    service.serve(api_accounts.router(db, doors, settings))
    service.serve(acting.router(db, doors, hands))
    service.serve(live.router(db, doors, ring, service.stopping, pages.render_row, pages.render_entry))
    service.serve(pages.router(db, doors))
    refusing.install(service.app, pages.render_problem)
    assets.install(service.app)


async def _trust(service: process.Service[Settings], key: Ed25519PrivateKey) -> None:
    async with service.database.reading() as conn:
        issued = await store.keys(conn)
    machines = [{"hash": one, "name": name, "role": "service"} for name, one in service.settings.service_keys.items()]
    machines += [{"hash": row["key_hash"], "name": row["name"], "role": row["role"]} for row in issued]
    service.access.trust([tokens.public_jwk(key)], machines)


async def _sweep_forever(db: Database) -> None:
    """Forget what nobody may ask for any more: old changes, sessions that are over, tries in vain."""
    while True:
        try:
            async with db.reading() as conn:
                await store_changes.prune(conn)
                await store_accounts.sweep(conn, domain.FAILURE_WINDOW_S)
        except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError) as error:
            log.info("old changes stay for now", reason=type(error).__name__)
        await asyncio.sleep(SWEEP_EVERY_S)


def _signing_key(path: str) -> Ed25519PrivateKey:
    key = load_pem_private_key(Path(path).read_bytes(), None)
    if not isinstance(key, Ed25519PrivateKey):
        raise TypeError("HANDOFF_SIGNING_KEY has to be the path of an Ed25519 key in PEM")
    return key


def main() -> None:
    """Run the console."""
    process.run("console", Settings, compose)


if __name__ == "__main__":
    main()
