"""Reports as tables: one without rows can be joined to one with them."""

from collections.abc import Mapping
from typing import Any

import pytest

from backbone import ids
from forecast import funnel, reports, velocity

CREATED = {"from": "2026-11-01T00:00:00Z", "to": "2026-12-01T00:00:00Z"}
LONG_AGO = {"from": "1999-01-01T00:00:00Z", "to": "1999-02-01T00:00:00Z"}


async def table(company: Any, path: str, span: Mapping[str, str]) -> list[str]:
    answer = await company.http.get(path, params=span, headers={"Accept": "text/csv"})
    assert answer.status_code == 200, answer.text
    return list(answer.text.splitlines())


@pytest.mark.parametrize(
    ("path", "columns", "some"),
    [
        ("/v1/forecast", reports.COLUMNS, {"period": "2026-11"}),
        ("/v1/funnel", funnel.COLUMNS, CREATED),
        ("/v1/velocity", velocity.WON, CREATED),
    ],
)
async def test_a_table_has_the_same_columns_with_rows_and_without(
    company: Any, path: str, columns: tuple[str, ...], some: Mapping[str, str]
) -> None:
    await company.tell("intake", company.captured(ids.new()))
    await company.open(amount="10", stage="won", occurred_at="2026-11-12T08:00:00Z")
    head, *rows = await table(company, path, some)
    assert head == ",".join(columns)
    assert rows
    if path != "/v1/forecast":  # There every node has its rows, whatever it has.
        assert await table(company, path, LONG_AGO) == [head]
