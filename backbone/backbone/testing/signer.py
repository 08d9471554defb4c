"""Who signs tokens that the services of a test trust."""

import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from backbone import security


@dataclass(slots=True)
class Signer:
    """Signs tokens that every service of the test trusts."""

    key: Ed25519PrivateKey = field(default_factory=Ed25519PrivateKey.generate)

    def jwk(self) -> dict[str, Any]:
        """Return the public half."""
        return security.public_jwk(self.key)

    def pem(self, path: Path) -> str:
        """Write the key where the console reads it, and return that path."""
        kind = serialization.NoEncryption()
        path.write_bytes(self.key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, kind))
        return str(path)

    def token(self, role: str, rep: str | None = None, sub: str | None = None, *, lasts_s: int = 3600) -> str:
        """Return a bearer token."""
        ends = int(time.time()) + lasts_s
        claims = {"sub": sub or f"test:{role}", "role": role, "iss": security.ISSUER, "exp": ends}
        return jwt.encode(
            {**claims, **({"rep": rep} if rep else {})},
            self.key,
            security.ALGORITHM,
            headers={"kid": security.key_id(self.key)},
        )
