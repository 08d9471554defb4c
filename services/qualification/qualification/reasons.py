"""Reason codes: every reason is one; words that are none are kept as `other` by whoever takes them."""

from typing import Annotated, Any, Final, Literal

from fastapi import APIRouter, Depends
from pydantic import BaseModel, ConfigDict, Field

from backbone import database, security

SHIPPED: Final = {
    "competitor": ("Works for a competitor", "lead"),
    "student": ("Student or research", "marketing"),
    "job_seeker": ("Looks for a job", "marketing"),
    "spam": ("Spam", "nobody"),
    "too_small": ("Too small for us", "marketing"),
    "existing_customer": ("Is a customer already", "marketing"),
    "open_opportunity": ("A colleague works the account", "nobody"),
    "wrong_country": ("Not a country that we sell to", "marketing"),
    "bad_contact_data": ("Cannot be reached with this data", "marketing"),
    "no_need": ("Has no need", "lead"),
    "no_budget": ("Has no budget", "lead"),
    "timing": ("Not now", "lead"),
    "unreachable": ("Did not answer", "nobody"),
    "other": ("Other", "nobody"),
}
_ALL: Final = ("disqualify", "recycle", "decline", "return", "close", "hand_back", "lost")
_known: set[str] = set(SHIPPED)

Use = Literal["disqualify", "recycle", "decline", "return", "close", "hand_back", "lost"]


class Reason(BaseModel):
    """A code with its label."""

    model_config = ConfigDict(extra="forbid", populate_by_name=True)
    code: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,63}$")]
    label: Annotated[str, Field(min_length=1, max_length=200)]
    used_for: Annotated[list[Use], Field(alias="for")] = list(_ALL)
    fault: Literal["marketing", "sales", "lead", "nobody"] = "nobody"
    until: str | None = None


def code(text: str | None) -> str:
    """Return the reason's code: itself when it looks like one, `other` for words."""
    if not text:
        return "other"
    return text if text in _known or (text.isidentifier() and text.islower()) else "other"


def router(db: database.Database) -> APIRouter:
    """Return the routes of reasons."""
    api = APIRouter(prefix="/v1/reasons", tags=["reasons"])
    reading = Depends(security.allow("rep", "sdr", "marketing", "manager"))

    @api.get("", dependencies=[reading])
    async def show() -> list[dict[str, Any]]:
        """List the codes: those shipped, unless they were replaced."""
        async with db.reading() as conn:
            rows = await conn.fetch("SELECT * FROM reason ORDER BY code")
        if not rows:
            return [
                {"code": one, "label": label, "for": list(_ALL), "fault": fault, "until": None}
                for one, (label, fault) in SHIPPED.items()
            ]
        return [
            {
                "code": row["code"],
                "label": row["label"],
                "for": row["fits"],
                "fault": row["fault"],
                "until": row["until"],
            }
            for row in rows
        ]

    @api.put("", dependencies=[Depends(security.allow("marketing", "manager"))])
    async def put(body: list[Reason]) -> list[dict[str, Any]]:
        """Replace the codes."""
        async with db.transaction() as conn:
            await conn.execute("DELETE FROM reason")
            await conn.executemany(
                "INSERT INTO reason VALUES ($1, $2, $3, $4, $5)",
                [(one.code, one.label, one.used_for, one.fault, one.until) for one in body],
            )
        return await show()

    return api
