"""Personal data on its way: sealed with the lead's own key, opened only by who must show or address a person."""

import base64
import os
from collections.abc import Iterable
from typing import Any, Final
from uuid import UUID

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from backbone import calling

KEY_BYTES: Final = 32
NONCE_BYTES: Final = 12
KEYS_PER_CALL: Final = 500
TIMEOUT_S: Final = 2.0


def new_key() -> bytes:
    """Return a fresh AES-256 key."""
    return os.urandom(KEY_BYTES)


def seal(key: bytes, subject: UUID, value: Any) -> bytes:
    """Encrypt a JSON value (AES-256-GCM, a random nonce in front, bound to the subject)."""
    nonce = os.urandom(NONCE_BYTES)
    return nonce + AESGCM(key).encrypt(nonce, msgspec.json.encode(value), subject.bytes)


def open_sealed(key: bytes, subject: UUID, sealed: bytes) -> Any:
    """Decrypt what `seal` made. ValueError when it was made with another key or for another subject."""
    try:
        opened = AESGCM(key).decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], subject.bytes)
    except InvalidTag as error:
        raise ValueError("sealed with another key, or for another subject") from error
    return msgspec.json.decode(opened)


class KeyClient:
    """Asks lead-intake for leads' keys: the one call between services in the flow of leads."""

    def __init__(self, intake_url: str, service_key: str) -> None:
        self._client = calling.client(
            base_url=intake_url, headers={"Authorization": f"Bearer {service_key}"}, timeout=TIMEOUT_S
        )

    async def fetch(self, lead_ids: Iterable[UUID]) -> dict[UUID, bytes]:
        """Return the keys; a lead that was erased has none. httpx.HTTPError while lead-intake is away."""
        wanted = [str(lead_id) for lead_id in lead_ids]
        keys: dict[UUID, bytes] = {}
        for start in range(0, len(wanted), KEYS_PER_CALL):
            some = wanted[start : start + KEYS_PER_CALL]
            response = await self._client.post("/v1/vault/keys", json={"lead_ids": some})
            response.raise_for_status()
            keys |= {UUID(lead_id): base64.b64decode(key) for lead_id, key in response.json()["keys"].items()}
        return keys

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aclose()
