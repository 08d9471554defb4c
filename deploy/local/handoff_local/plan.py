"""What a stack consists of: ports, settings of each service, databases."""

import hashlib
import json
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from handoff_local.home import SERVICES, Home

PACKAGES: Final = {
    "lead-intake": "lead_intake",
    "qualification": "qualification",
    "routing": "routing",
    "sla-monitor": "sla_monitor",
    "forecast": "forecast",
    "notifications": "notifications",
    "console": "console",
}
PARTITIONS: Final = 6
_OFFSETS: Final = {
    "console": 0,
    "lead-intake": 1,
    "qualification": 2,
    "routing": 3,
    "sla-monitor": 4,
    "forecast": 5,
    "notifications": 6,
}


@dataclass(frozen=True, slots=True)
class Plan:
    """One stack's addresses and settings."""

    home: Home
    port: int

    def port_of(self, service: str) -> int:
        """Return the port of a service's first replica."""
        return self.port + _OFFSETS[service]

    def metrics_port_of(self, service: str) -> int:
        """Return the port of its metrics."""
        return self.port + 20 + _OFFSETS[service]

    @property
    def kafka_port(self) -> int:
        """Return the broker's port."""
        return self.port + 90

    @property
    def postgres_port(self) -> int:
        """Return the database server's port."""
        return self.port + 91

    @property
    def controller_port(self) -> int:
        """Return the broker's inner port."""
        return self.port + 92

    def all_ports(self) -> dict[int, str]:
        """Return every port of the stack with who listens on it."""
        ports = {self.port_of(service): service for service in SERVICES}
        ports |= {self.metrics_port_of(service): f"{service}'s metrics" for service in SERVICES}
        return {**ports, self.kafka_port: "Kafka", self.postgres_port: "PostgreSQL", self.controller_port: "Kafka"}

    def url_of(self, service: str) -> str:
        """Return a service's address."""
        return f"http://127.0.0.1:{self.port_of(service)}"

    def dsn_of(self, service: str) -> str:
        """Return the address of a service's own database."""
        name = database_of(service)
        password = self.home.secrets()["roles"][service]
        return f"postgresql://{name}:{password}@127.0.0.1:{self.postgres_port}/{name}"

    def environment_of(self, service: str) -> dict[str, str]:
        """Return a service's settings."""
        kept = self.home.secrets()
        settings = {
            "DATABASE_URL": self.dsn_of(service),
            "KAFKA": f"127.0.0.1:{self.kafka_port}",
            "PARTITIONS": str(PARTITIONS),
            "HOST": "127.0.0.1",
            "CONSOLE_URL": "" if service == "console" else self.url_of("console"),
            "SERVICE_KEY": kept["keys"][service],
            **self._own_settings(service, kept),
        }
        return {f"HANDOFF_{name}": value for name, value in settings.items()}

    def _own_settings(self, service: str, kept: dict[str, Any]) -> dict[str, str]:
        if service == "lead-intake":
            return {
                "VAULT_DATABASE_URL": self.dsn_of("vault"),
                "MASTER_KEY": kept["master_key"],
                "PUBLIC_URL": self.url_of("lead-intake"),
            }
        if service == "notifications":
            return {
                "INTAKE_URL": self.url_of("lead-intake"),
                "CONSOLE_PUBLIC_URL": self.url_of("console"),
                # On one's own machine endpoints are on it too.
                "ALLOW_PRIVATE_WEBHOOKS": "true",
                **{name: os.environ[f"HANDOFF_{name}"] for name in _MAIL if f"HANDOFF_{name}" in os.environ},
            }
        if service == "console":
            hashes = {name: hashlib.sha256(key.encode()).hexdigest() for name, key in kept["keys"].items()}
            return {
                "SIGNING_KEY": str(self.home.signing_key),
                "SERVICE_KEYS": json.dumps(hashes),
                "ADMIN_EMAIL": kept["admin_email"],
                "ADMIN_PASSWORD": kept["admin_password"],
                "INTAKE_URL": self.url_of("lead-intake"),
                "QUALIFICATION_URL": self.url_of("qualification"),
                "ROUTING_URL": self.url_of("routing"),
                "SLA_URL": self.url_of("sla-monitor"),
                "FORECAST_URL": self.url_of("forecast"),
                "NOTIFICATIONS_URL": self.url_of("notifications"),
            }
        return {}


_MAIL: Final = ("SMTP_URL", "SENDER")
"""Taken from the environment of `handoff up`: a mail server is never ours."""


def database_of(service: str) -> str:
    """Return the name of a service's database and of its role."""
    return re.sub(r"[^a-z]", "_", service)


def log_of(home: Home, name: str, replica: int) -> Path:
    """Return where a part writes."""
    return home.logs / (f"{name}.log" if replica == 1 else f"{name}-{replica}.log")
