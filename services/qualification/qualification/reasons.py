"""Reason codes: every reason is one; other words are kept beside the code `other`, and only here."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from backbone import documents
from backbone.database import Connection
from backbone.reasons import OTHER, SHIPPED
from qualification.desk import Why

USES: Final = ("disqualify", "recycle", "decline", "return", "close", "hand_back", "lost")


@dataclass(frozen=True, kw_only=True, slots=True)
class Reason:
    """A code that people may give."""

    code: str
    label: str
    fits: tuple[str, ...]
    fault: str
    until: str | None
    """For how long a lead that is recycled for it rests, when nobody says."""


@dataclass(frozen=True, slots=True)
class Reasons:
    """The codes in force."""

    known: Mapping[str, Reason]

    def why(self, text: str | None, *, by: str | None = None) -> Why:
        """Return what somebody said as a code, with their words where it is none."""
        if not text:
            return Why(code=OTHER, by=by)
        return Why(code=text, by=by) if text in self.known else Why(code=OTHER, words=text, by=by)

    def rest_until(self, code: str, now: datetime) -> datetime | None:
        """Return until when a lead rests that is recycled for this reason."""
        reason = self.known.get(code)
        if reason is None or reason.until is None:
            return None
        return now + timedelta(seconds=documents.duration(reason.until))


async def load(conn: Connection) -> Reasons:
    """Return the codes in force: those shipped, until somebody replaces them."""
    rows = await conn.fetch("SELECT code, label, fits, fault, until FROM reason ORDER BY code")
    found = [
        Reason(code=row["code"], label=row["label"], fits=tuple(row["fits"]), fault=row["fault"], until=row["until"])
        for row in rows
    ] or [
        Reason(code=code, label=label, fits=USES, fault=fault, until=None) for code, (label, fault) in SHIPPED.items()
    ]
    return Reasons({reason.code: reason for reason in found})


async def replace(conn: Connection, reasons: list[Reason]) -> None:
    """Put other codes in force."""
    await conn.execute("LOCK TABLE reason IN SHARE ROW EXCLUSIVE MODE")  # One list after the other.
    await conn.execute("DELETE FROM reason")
    await conn.execute(
        "INSERT INTO reason (code, label, fits, fault, until) SELECT code, label, string_to_array(fits, ','), fault,"
        " until FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[])"
        " AS v(code, label, fits, fault, until)",
        [one.code for one in reasons],
        [one.label for one in reasons],
        [",".join(one.fits) for one in reasons],
        [one.fault for one in reasons],
        [one.until for one in reasons],
    )
