"""Makes the secrets of a compose project at its first start: one settings file a service, readable by it alone."""

import base64
import hashlib
import json
import os
import secrets
from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

FOLDER = Path("/secrets")
SERVICES = ("lead-intake", "qualification", "routing", "sla-monitor", "forecast", "notifications", "console")
UID = 10001


def main() -> None:
    """Write what is missing; what is there stays."""
    if (FOLDER / "complete").exists():
        return
    FOLDER.mkdir(exist_ok=True)
    passwords = {name: secrets.token_urlsafe(24) for name in (*SERVICES, "vault")}
    keys = {name: f"hk_{secrets.token_urlsafe(32)}" for name in SERVICES}
    pem = Ed25519PrivateKey.generate().private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    _write("signing-key.pem", pem.decode())
    for name in SERVICES:
        lines = {"DATABASE_URL": _url(name, passwords), "SERVICE_KEY": keys[name]}
        if name == "lead-intake":
            lines |= {
                "VAULT_DATABASE_URL": _url("vault", passwords),
                "MASTER_KEY": base64.b64encode(os.urandom(32)).decode(),
            }
        if name == "console":
            hashes = {one: hashlib.sha256(key.encode()).hexdigest() for one, key in keys.items()}
            lines |= {
                "SIGNING_KEY": "/secrets/signing-key.pem",
                "SERVICE_KEYS": f"'{json.dumps(hashes)}'",
                "ADMIN_PASSWORD": secrets.token_urlsafe(12),
            }
        _write(f"{name}.env", "".join(f"HANDOFF_{key}={value}\n" for key, value in lines.items()))
    roles = [(_database(name), password) for name, password in passwords.items()]
    statements = [
        f"CREATE ROLE {name} LOGIN PASSWORD '{word}'; CREATE DATABASE {name} OWNER {name};" for name, word in roles
    ]
    _write("databases.sql", "\n".join(statements).replace("; CREATE", ";\nCREATE") + "\n")
    _write("complete", "")


def _database(name: str) -> str:
    return name.replace("-", "_")


def _url(name: str, passwords: dict[str, str]) -> str:
    return f"postgresql://{_database(name)}:{passwords[name]}@postgres:5432/{_database(name)}"


def _write(name: str, text: str) -> None:
    file = FOLDER / name
    file.write_text(text)
    file.chmod(0o400 if name != "databases.sql" else 0o444)
    os.chown(file, UID, UID)


if __name__ == "__main__":
    main()
