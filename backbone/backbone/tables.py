"""Reports as CSV."""

import csv
import io
from collections.abc import Mapping, Sequence
from typing import Any


def as_csv(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return rows of equal keys as CSV with a head; objects within a row as `key:value` pairs."""
    out = io.StringIO()
    writer = csv.DictWriter(out, fieldnames=list(rows[0]) if rows else ["key"])
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
