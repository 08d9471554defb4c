"""Leads' keys: made at first capture, wrapped with the master key, kept apart; erasure destroys them."""

import base64
import hmac
import os
from collections.abc import Iterable
from typing import Any, Final
from uuid import UUID

import msgspec
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from backbone import vault
from backbone.database import Database

CACHED_KEYS: Final = 50_000
_NONCE: Final = 12
_TABLE: Final = """
CREATE TABLE IF NOT EXISTS lead_key (
    lead_id uuid PRIMARY KEY,
    wrapped bytea NOT NULL,
    made_at timestamptz NOT NULL DEFAULT now()
)
"""


class Vault:
    """Wraps and unwraps. A key is written, and committed, before anything that it seals."""

    def __init__(self, database: Database, master_key: str) -> None:
        master = base64.b64decode(master_key, validate=True)
        if len(master) != vault.KEY_BYTES:
            raise ValueError("HANDOFF_MASTER_KEY has to be the base64 of 32 bytes")
        self._database = database
        self._wrapping = AESGCM(master)
        self._hashing = hmac.digest(master, b"handoff identifiers", "sha256")
        self._cache: dict[UUID, bytes] = {}

    async def prepare(self) -> None:
        """Make the table."""
        async with self._database.transaction() as conn:
            await conn.execute("SELECT pg_advisory_xact_lock(7263116)")
            await conn.execute(_TABLE)

    def digest(self, kind: str, value: str) -> bytes:
        """Return the keyed hash of an identifier."""
        return hmac.digest(self._hashing, f"{kind}\x1f{value}".encode(), "sha256")

    def seal_secret(self, secret: str) -> bytes:
        """Seal a connection's secret."""
        nonce = os.urandom(_NONCE)
        return nonce + self._wrapping.encrypt(nonce, secret.encode(), b"connection")

    def open_secret(self, sealed: bytes) -> str:
        """Open a connection's secret."""
        return self._wrapping.decrypt(sealed[:_NONCE], sealed[_NONCE:], b"connection").decode()

    def seal_json(self, value: Any) -> bytes:
        """Seal what belongs to no lead yet."""
        return self.seal_secret(msgspec.json.encode(value).decode())

    def open_json(self, sealed: bytes) -> Any:
        """Open what `seal_json` sealed."""
        return msgspec.json.decode(self.open_secret(sealed))

    async def make(self, lead_ids: Iterable[UUID]) -> dict[UUID, bytes]:
        """Make and keep keys for new leads."""
        keys = {lead_id: vault.new_key() for lead_id in lead_ids}
        if not keys:
            return keys
        wrapped = []
        for lead_id, key in keys.items():
            nonce = os.urandom(_NONCE)
            wrapped.append(nonce + self._wrapping.encrypt(nonce, key, lead_id.bytes))
        async with self._database.reading() as conn:
            await conn.execute(
                "INSERT INTO lead_key (lead_id, wrapped) SELECT * FROM unnest($1::uuid[], $2::bytea[])",
                list(keys),
                wrapped,
            )
        self._remember(keys)
        return keys

    async def fetch(self, lead_ids: Iterable[UUID]) -> dict[UUID, bytes]:
        """Return the keys that exist still."""
        wanted = list(lead_ids)
        known = {lead_id: self._cache[lead_id] for lead_id in wanted if lead_id in self._cache}
        missing = [lead_id for lead_id in wanted if lead_id not in known]
        if missing:
            known |= await self._read(missing)
        return known

    async def _read(self, lead_ids: list[UUID]) -> dict[UUID, bytes]:
        async with self._database.reading() as conn:
            rows = await conn.fetch("SELECT lead_id, wrapped FROM lead_key WHERE lead_id = ANY($1::uuid[])", lead_ids)
        keys = {row[0]: self._wrapping.decrypt(row[1][:_NONCE], row[1][_NONCE:], row[0].bytes) for row in rows}
        self._remember(keys)
        return keys

    async def serve(self, lead_ids: list[UUID]) -> dict[UUID, bytes]:
        """Return keys for another service, from the database alone: another replica may have erased one."""
        return await self._read(lead_ids)

    async def destroy(self, lead_ids: Iterable[UUID]) -> None:
        """Destroy keys: what they sealed is noise from now on."""
        gone = list(lead_ids)
        for lead_id in gone:
            self._cache.pop(lead_id, None)
        async with self._database.transaction() as conn:
            await conn.execute("DELETE FROM lead_key WHERE lead_id = ANY($1::uuid[])", gone)

    def _remember(self, keys: dict[UUID, bytes]) -> None:
        if len(self._cache) + len(keys) > CACHED_KEYS:
            self._cache.clear()
        self._cache |= keys
