"""Leads as they are shown: the fields of the post, normalised, with who stands for whom and what was allowed."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from backbone import times
from backbone.database import Connection
from lead_intake import domain, store
from lead_intake.domain import Lead
from lead_intake.reading import DIRECT
from lead_intake.vaulting import Vault


async def shown(conn: Connection, vault: Vault, rows: Sequence[Any]) -> list[dict[str, Any]]:
    """Return the leads of these rows, in their order."""
    lead_ids = [row["lead_id"] for row in rows]
    keys = await vault.fetch(lead_ids)
    merged_from = await store.merged_from_each(conn, lead_ids)
    consents = await store.consents(conn, {one for lead_id in lead_ids for one in (lead_id, *merged_from[lead_id])})
    return [
        _shown(
            row,
            store.lead_of(row, keys.get(row["lead_id"])),
            merged_from[row["lead_id"]],
            [one for owner, one in consents if owner in (row["lead_id"], *merged_from[row["lead_id"]])],
        )
        for row in rows
    ]


def _shown(row: Any, lead: Lead, merged_from: Sequence[UUID], consents: Sequence[dict[str, Any]]) -> dict[str, Any]:
    external = next((value for connection, value in lead.external_ids if connection == DIRECT), None)
    return {
        "lead_id": str(lead.lead_id),
        **{name: lead.known.get(name) for name in domain.READABLE},
        **{name: lead.personal.get(name) for name in domain.SEALED},
        "spam": bool(lead.known.get("spam")),
        "test": bool(lead.known.get("test")),
        "external_id": external or (lead.external_ids[0][1] if lead.external_ids else None),
        "external_ids": [{"connection_id": one, "external_id": value} for one, value in lead.external_ids],
        "attributes": lead.attributes,
        "first_touch": lead.first_touch or None,
        "last_touch": lead.last_touch or None,
        "consent": consents,
        "live": lead.live,
        "occurred_at": times.text(lead.created_at),
        "created_at": times.text(lead.recorded_at),
        "updated_at": times.text(row["updated_at"]),
        "merged_into": str(row["merged_into"]) if row["merged_into"] else None,
        "merged_from": [str(one) for one in merged_from],
        "erased_at": times.text(row["erased_at"]) if row["erased_at"] else None,
    }
