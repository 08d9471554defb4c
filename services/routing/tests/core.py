"""Reps, leads and policies for tests of the pure core."""

from datetime import UTC, datetime
from typing import Any, Final
from uuid import UUID

from routing import assigning
from routing.domain import Lead, Policy, Pool, Rep, Rule, Strategy
from routing.index import Index

NOW: Final = datetime(2026, 11, 10, 12, tzinfo=UTC)
ROUND: Final = Strategy.WEIGHTED_ROUND_ROBIN
EVERYONE: Final = Rule(rule="everyone", to="sdr", holds=lambda _: True)


def rep(rep_id: str, **fields: Any) -> Rep:
    said: dict[str, Any] = {"cap": 10_000, "weight": 1.0, "away": None, "back_at": None, "open": 0, "values": {}}
    return Rep(rep_id=rep_id, role="sdr", untouched=0, turns={}, last_assigned_at=None, **{**said, **fields})


def index(*reps: Rep) -> Index:
    return Index({one.rep_id: one for one in reps})


def policy(strategy: Strategy, members: list[str], *rules: Rule, **pool: Any) -> Policy:
    sdr = Pool(pool="sdr", strategy=strategy, members=members, **pool)
    return Policy(version=1, pools={"sdr": sdr}, rules=rules or (EVERYONE,), pairs={})


def lead(number: int = 0, **fields: Any) -> Lead:
    said: dict[str, Any] = {"values": {}, **fields}
    return Lead(lead_id=UUID(int=number), rank=1, created_at=NOW, **said)


def turns(index: Index, rules: Policy, count: int) -> list[str]:
    return [assigning.decide(lead(), index, rules, NOW).rep_id or "" for _ in range(count)]
