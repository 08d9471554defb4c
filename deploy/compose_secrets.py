"""The secrets of a compose project: made at its first start, each service's in a volume that it alone mounts.

docker compose run --rm secrets admin                  the console's address and first sign-in
docker compose run --rm secrets token manager          a bearer token; for rep and sdr with the rep's id behind it
"""

import base64
import hashlib
import json
import os
import secrets
import sys
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from backbone import tokens

FOLDER: Final = Path("/secrets")
SERVICES: Final = ("lead-intake", "qualification", "routing", "sla-monitor", "forecast", "notifications", "console")
ROLES: Final = ("admin", "manager", "rep", "sdr", "marketing", "integration")
UID: Final = 10_001
POSTGRES_UID: Final = 999
TOKEN_LIFE_S: Final = 24 * 3600


def make() -> None:
    """Write what is missing; what is there stays."""
    done = FOLDER / "console" / "complete"
    if done.exists():
        return
    passwords = {name: secrets.token_urlsafe(24) for name in (*SERVICES, "vault")}
    keys = {name: f"hk_{secrets.token_urlsafe(32)}" for name in SERVICES}
    pem = Ed25519PrivateKey.generate().private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    _write("console/signing-key.pem", pem.decode())
    for name in SERVICES:
        lines = {"DATABASE_URL": _url(name, passwords), "SERVICE_KEY": keys[name]} | _own(name, passwords, keys)
        _write(f"{name}/settings.env", "".join(f"HANDOFF_{key}={value}\n" for key, value in lines.items()))
    _write("postgres/password", secrets.token_urlsafe(24), POSTGRES_UID)
    _write("postgres/databases.sql", _statements(passwords), POSTGRES_UID)
    _write("console/complete", "")


def _own(name: str, passwords: dict[str, str], keys: dict[str, str]) -> dict[str, str]:
    if name == "lead-intake":
        master_key = base64.b64encode(os.urandom(32)).decode()
        return {"VAULT_DATABASE_URL": _url("vault", passwords), "MASTER_KEY": master_key}
    if name == "console":
        hashes = {one: hashlib.sha256(key.encode()).hexdigest() for one, key in keys.items()}
        return {
            "SIGNING_KEY": "/secrets/signing-key.pem",
            "SERVICE_KEYS": f"'{json.dumps(hashes)}'",
            "ADMIN_PASSWORD": secrets.token_urlsafe(12),
        }
    return {}


def _statements(passwords: dict[str, str]) -> str:
    """Return SQL that psql can run again and again: it makes what is missing."""
    missing = "WHERE NOT EXISTS (SELECT FROM"
    lines = []
    for name, password in passwords.items():
        role = _database(name)
        make_role, make_database = (
            f"CREATE ROLE {role} LOGIN PASSWORD ''{password}''",
            f"CREATE DATABASE {role} OWNER {role}",
        )
        lines.append(f"SELECT '{make_role}' {missing} pg_roles WHERE rolname = '{role}')\\gexec")
        lines.append(f"SELECT '{make_database}' {missing} pg_database WHERE datname = '{role}')\\gexec")
    return "\n".join(lines) + "\n"


def _database(name: str) -> str:
    return name.replace("-", "_")


def _url(name: str, passwords: dict[str, str]) -> str:
    return f"postgresql://{_database(name)}:{passwords[name]}@postgres:5432/{_database(name)}"


def _write(name: str, text: str, uid: int = UID) -> None:
    file = FOLDER / name
    file.parent.mkdir(exist_ok=True)
    file.write_text(text)
    file.chmod(0o400)
    os.chown(file, uid, uid)


def admin() -> None:
    """Print where the console is and the first sign-in."""
    settings = (FOLDER / "console" / "settings.env").read_text().splitlines()
    password = next(line.partition("=")[2] for line in settings if line.startswith("HANDOFF_ADMIN_PASSWORD="))
    _say(f"The console is at {os.environ['HANDOFF_CONSOLE_PUBLIC_URL']}")
    _say(f"Sign in as {os.environ['HANDOFF_ADMIN_EMAIL']} with {password}")


def token(role: str = "", rep: str = "") -> None:
    """Print a bearer token that every service of the project accepts."""
    if role not in ROLES or (role in ("rep", "sdr") and not rep):
        sys.exit(f"Say for which role, of {', '.join(ROLES)}; for rep and sdr the rep's id behind it.")
    key = load_pem_private_key((FOLDER / "console" / "signing-key.pem").read_bytes(), None)
    if not isinstance(key, Ed25519PrivateKey):
        sys.exit("The signing key of the volume is none.")
    sub = f"local:{role}" + (f":{rep}" if rep else "")
    _say(tokens.signed(key, sub=sub, role=role, rep=rep, lasts_s=TOKEN_LIFE_S))


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")


if __name__ == "__main__":
    {"make": make, "admin": admin, "token": token}[sys.argv[1] if len(sys.argv) > 1 else "make"](*sys.argv[2:4])
