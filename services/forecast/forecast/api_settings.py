"""The hierarchy, targets and rates of exchange."""

from collections.abc import Hashable, Sequence
from decimal import Decimal
from typing import Annotated, Any

from fastapi import APIRouter, Depends
from pydantic import AfterValidator, Field

from backbone import database, fields, security
from backbone.problem import Pointer, Problem
from forecast import domain
from forecast.api import Day, Name
from forecast.money import Amount, Currency

Manager = Annotated[security.Caller, Depends(security.allow("manager"))]
MOST_ENTRIES = 10_000


def _period(text: str) -> str:
    try:
        domain.months_of(text)
    except ValueError:
        raise ValueError("not a period, write it like 2026-Q4, 2026-11 or 2026") from None
    return text


class Node(fields.Body):
    """A place in the hierarchy."""

    node_id: Name
    parent_id: Name | None = None
    rep_id: Name | None = None
    name: Name


class Target(fields.Body):
    """What is to be reached."""

    node_id: Name
    period: Annotated[str, AfterValidator(_period)]
    amount: Amount


class Rate(fields.Body):
    """How many units of the base currency one unit is worth, from a day on."""

    currency: Currency
    starts: Annotated[Day, Field(alias="from")]
    rate: Annotated[Decimal, Field(gt=0, max_digits=18, decimal_places=9)]


Nodes = Annotated[list[Node], Field(max_length=MOST_ENTRIES)]
Targets = Annotated[list[Target], Field(max_length=MOST_ENTRIES)]
Rates = Annotated[list[Rate], Field(max_length=MOST_ENTRIES)]


def router(db: database.Database) -> APIRouter:
    """Return the routes of settings."""
    api = APIRouter(tags=["settings"])

    @api.put("/v1/hierarchy")
    async def hierarchy(_: Manager, body: Nodes) -> list[dict[str, Any]]:
        """Replace the hierarchy: any depth, each node once, each rep at one node."""
        _check_once([one.node_id for one in body], "node_id")
        _check_once([one.rep_id for one in body if one.rep_id is not None], "rep_id")
        _check_tree(body)
        async with db.transaction() as conn:
            await conn.execute("LOCK TABLE node IN SHARE ROW EXCLUSIVE MODE")  # One tree after the other.
            await conn.execute("DELETE FROM node")
            await conn.execute(
                "INSERT INTO node SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::text[])",
                *([getattr(one, name) for one in body] for name in ("node_id", "parent_id", "rep_id", "name")),
            )
        return [one.model_dump() for one in body]

    @api.put("/v1/targets")
    async def targets(_: Manager, body: Targets) -> list[dict[str, Any]]:
        """Set targets; those of other nodes and periods stay."""
        _check_once([(one.node_id, one.period) for one in body], "period")
        async with db.transaction() as conn:
            await conn.execute(
                "INSERT INTO target SELECT * FROM unnest($1::text[], $2::text[], $3::numeric[]) ORDER BY 1, 2"
                " ON CONFLICT (node_id, period) DO UPDATE SET amount = excluded.amount",
                *([getattr(one, name) for one in body] for name in ("node_id", "period", "amount")),
            )
        return [one.model_dump(mode="json") for one in body]

    @api.put("/v1/rates")
    async def rates(_: Manager, body: Rates) -> list[dict[str, Any]]:
        """Set rates of exchange; what was reported by earlier ones stays as it was as of then."""
        _check_once([(one.currency, one.starts) for one in body], "from")
        async with db.transaction() as conn:
            await conn.execute(
                "INSERT INTO rate (currency, starts, rate, recorded_at)"
                " SELECT v.*, clock_timestamp() FROM unnest($1::text[], $2::date[], $3::numeric[]) AS v",
                *([getattr(one, name) for one in body] for name in ("currency", "starts", "rate")),
            )
        return [one.model_dump(mode="json", by_alias=True) for one in body]

    return api


def _check_once(keys: Sequence[Hashable], name: str) -> None:
    seen: set[Hashable] = set()
    for number, key in enumerate(keys):
        if key in seen:
            place = Pointer(f"/{number}/{name}", "stands here twice")
            raise Problem(422, "Twice the same", "Send each once.", errors=[place])
        seen.add(key)


def _check_tree(nodes: Sequence[Node]) -> None:
    parents = {node.node_id: node.parent_id for node in nodes}
    rooted: set[str] = set()
    for number, node in enumerate(nodes):
        path: list[str] = []
        above: str | None = node.node_id
        while above is not None and above not in rooted:
            if above not in parents or above in path:
                place = Pointer(f"/{number}/parent_id", "no such node" if above not in parents else "goes in a circle")
                raise Problem(422, "Not a tree", "Every parent is a node of this list.", errors=[place])
            path.append(above)
            above = parents[above]
        rooted.update(path)
