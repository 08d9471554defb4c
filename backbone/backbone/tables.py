"""Reports as they are answered: JSON, or CSV with what it cannot say in its rows as headers."""

import csv
import io
import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from fastapi import Request
from fastapi.responses import JSONResponse, Response
from pydantic import BaseModel

Said = Mapping[str, str | bool | Sequence[str] | None]
"""What a report says of itself: as of when, how far facts are known, who has not signed."""
_PREFIX: Final = "Handoff"


def answer(
    request: Request,
    body: Mapping[str, Any],
    rows: Sequence[Mapping[str, Any]],
    said: Said,
    *,
    columns: Sequence[str],
) -> Response:
    """Answer with a report, or with its rows for who accepts CSV; what it says of itself is in both.

    `columns` are those of a table without rows.
    """
    if not _is_table_wanted(request.headers.get("accept", "")):
        return JSONResponse({**body, **said})
    headers = {header(name): _line(value) for name, value in said.items() if value is not None and value != []}
    return Response(as_csv(rows, columns), media_type="text/csv", headers=headers)


def _is_table_wanted(accept: str) -> bool:
    """Say whether CSV is accepted, and JSON not rather (RFC 9110, 12.5.1)."""
    quality = {"text/csv": 0.0, "application/json": 0.0}
    for one in accept.lower().split(","):
        kind, *parameters = (part.strip() for part in one.split(";"))
        said = next((value for name, _, value in (each.partition("=") for each in parameters) if name == "q"), "1")
        quality[kind] = float(said) if re.fullmatch(r"[01](\.[0-9]{0,3})?", said) else 1.0
    return quality["text/csv"] > 0 and quality["text/csv"] >= quality["application/json"]


def header(name: str) -> str:
    """Return the header that says of a table what this key says of the report: Handoff-As-Of for as_of."""
    return "-".join([_PREFIX, *(word.capitalize() for word in name.split("_"))])


def _line(value: str | bool | Sequence[str]) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return value if isinstance(value, str) else ", ".join(value)


def columns(row: type[BaseModel]) -> list[str]:
    """Return the columns of a table of such rows, nested fields with a dot in their names."""
    found = []
    for name, field in row.model_fields.items():
        shape = field.annotation
        if isinstance(shape, type) and issubclass(shape, BaseModel):
            found += [f"{name}.{inner}" for inner in columns(shape)]
        else:
            found.append(name)
    return found


def as_csv(rows: Sequence[Mapping[str, Any]], columns: Sequence[str]) -> str:
    """Return rows of equal keys as CSV with a head; objects within a row as `key:value` pairs."""
    out = io.StringIO()
    writer = csv.DictWriter(out, fieldnames=list(rows[0]) if rows else columns)
    writer.writeheader()
    for row in rows:
        writer.writerow({name: _cell(value) for name, value in row.items()})
    return out.getvalue()


def _cell(value: Any) -> Any:
    if isinstance(value, Mapping):
        return " ".join(f"{key}:{count}" for key, count in sorted(value.items()))
    if isinstance(value, list | tuple):
        return " ".join(map(str, value))
    # A spreadsheet takes what begins like this for a formula.
    return f"'{value}" if isinstance(value, str) and value[:1] in "=+-@" and value else value
