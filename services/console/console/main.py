"""What runs in a process of the console."""

from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from backbone import process, security
from console import api, consumer, store
from console.settings import Settings


async def compose(service: process.Service[Settings]) -> None:
    """Put the keys, the settings and the consumer together."""
    settings = service.settings
    key = _signing_key(settings.signing_key)
    async with service.database.reading() as conn:
        issued = await store.keys(conn)
    machines = [{"hash": value, "name": name, "role": "service"} for name, value in settings.service_keys.items()]
    machines += [{"hash": row["key_hash"], "name": row["name"], "role": row["role"]} for row in issued]
    service.access.trust([security.public_jwk(key)], machines)
    service.app.include_router(api.router(service.database, service.outbox, service.access, key, settings.service_keys))
    service.consume(consumer.TOPICS, consumer.Handler(service.outbox).handle, kinds=consumer.KINDS)


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
