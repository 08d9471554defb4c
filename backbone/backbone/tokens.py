"""Bearer tokens: JWTs that a signing key of the console's makes, and that each service verifies by its public half."""

import base64
import hashlib
from typing import Final

import jwt
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from backbone import clock

ISSUER: Final = "handoff"
ALGORITHM: Final = "EdDSA"


def key_id(private: Ed25519PrivateKey) -> str:
    """Return the `kid` of a signing key, which follows from the key itself."""
    return hashlib.sha256(private.public_key().public_bytes_raw()).hexdigest()[:16]


def public_jwk(private: Ed25519PrivateKey) -> dict[str, str]:
    """Return the public half of a signing key as a JWK."""
    x = base64.urlsafe_b64encode(private.public_key().public_bytes_raw()).rstrip(b"=").decode()
    return {"kty": "OKP", "crv": "Ed25519", "x": x, "kid": key_id(private), "use": "sig", "alg": ALGORITHM}


def signed(private: Ed25519PrivateKey, *, sub: str, role: str, rep: str | None, lasts_s: int) -> str:
    """Return a token of who has a role, and of which rep where they are one; it lasts so many seconds from now."""
    claims = {"sub": sub, "role": role, "iss": ISSUER, "exp": int(clock.now().timestamp()) + lasts_s}
    claims |= {"rep": rep} if rep else {}
    return jwt.encode(claims, private, ALGORITHM, headers={"kid": key_id(private)})
