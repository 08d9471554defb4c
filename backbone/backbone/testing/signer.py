"""Who signs tokens that the services of a test trust."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from backbone import tokens


@dataclass(slots=True)
class Signer:
    """Signs tokens that every service of the test trusts."""

    key: Ed25519PrivateKey = field(default_factory=Ed25519PrivateKey.generate)

    def jwk(self) -> dict[str, Any]:
        """Return the public half."""
        return tokens.public_jwk(self.key)

    def pem(self, path: Path) -> str:
        """Write the key where the console reads it, and return that path."""
        kind = serialization.NoEncryption()
        path.write_bytes(self.key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, kind))
        return str(path)

    def token(self, role: str, rep: str | None = None, sub: str | None = None, *, lasts_s: int = 3600) -> str:
        """Return a bearer token."""
        return tokens.signed(self.key, sub=sub or f"test:{role}", role=role, rep=rep, lasts_s=lasts_s)
