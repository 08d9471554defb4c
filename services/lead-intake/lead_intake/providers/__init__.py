"""The marketing tools that post here, by name: how each signs and what it means."""

from collections.abc import Mapping
from typing import Final

from lead_intake.providers import generic, hubspot, mautic, standard
from lead_intake.providers.shapes import Delivery, Meaning, Provider

__all__ = ["PROVIDERS", "Delivery", "Meaning", "Provider"]

PROVIDERS: Final[Mapping[str, Provider]] = {
    "generic": generic.PROVIDER,
    "zapier": generic.PROVIDER,
    "standard-webhooks": standard.PROVIDER,
    "hubspot-workflow": hubspot.WORKFLOW,
    "mautic": mautic.PROVIDER,
}
"""Those that are here; POST /v1/connections refuses the others by name."""
