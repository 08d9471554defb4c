"""What the benchmark says of its figures is what it computes."""

from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from uuid import uuid4

import pytest

from backbone.testing.servers import Servers
from benchmarks import clocks, monitors
from benchmarks.client import since
from benchmarks.clocks import Site, Size, Told
from benchmarks.measuring import percentile
from handoff_local import postgres


@pytest.mark.parametrize(("share", "expected"), [(0.0, 1), (0.5, 50), (0.99, 99), (0.995, 100), (1.0, 100)])
def test_a_percentile_is_the_smallest_value_that_this_share_is_not_above(share: float, expected: int) -> None:
    assert percentile(reversed(range(1, 101)), share) == expected


def test_a_percentile_of_few_values_is_one_of_them() -> None:
    assert percentile([4.0, 2.0, 3.0], 0.5) == 3.0
    assert percentile([7.0], 0.99) == 7.0
    assert percentile([], 0.99) == 0.0


def test_a_lead_counts_from_when_it_was_due_until_its_clock_and_others_clocks_do_not_count() -> None:
    assert since(armed={"a": 10.5, "warm": 3.0}, due={"a": 10.0}) == [0.5]


def test_a_kills_silence_ends_with_the_next_alert_and_what_was_told_before_it_does_not_count() -> None:
    told = [Told(at=at, late=at - 9) for at in (14.0, 9.5, 12.5, 30.0)]
    kill = clocks.after_kill(told, killed_at=10.0, until=14.0, instances=1)
    assert (kill.silent, kill.longest, sorted(kill.late)) == (2.5, 2.5, [3.5, 5.0, 21.0])
    assert clocks.after_kill([], killed_at=10.0, until=14.0, instances=2).late == []


async def test_both_monitors_alert_every_clock_that_falls_due_with_as_many_open_as_were_asked_for(
    servers: Servers, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, seconds in {"IDLE_S": 0.2, "SETTLE_S": 0.0, "LEAD_INS_S": (0.5, 3.0)}.items():
        monkeypatch.setattr(clocks, name, seconds)
    size = Size(open_clocks=(30,), due_per_second=50, seconds=1, session_s=1)
    shares: list[float] = []
    with ExitStack() as opened:
        folder = Path(opened.enter_context(TemporaryDirectory(prefix="handoff-test-")))
        folder.chmod(0o755)  # noqa: ASYNC240 - once, for the database's user
        first, second = (
            opened.enter_context(postgres.throwaway(folder / name, monitors.KEEPS_COMMIT_TIMES))
            for name in ("ours", "naive")
        )
        site = Site(folder, (first, second), servers.kafka, namespace=f"t{uuid4().hex[:12]}")
        found = await clocks.run(site, size, shares.append)
    sides = found.firing[30]
    assert {name: len(side.late) for name, side in sides.items()} == {"Handoff": 50, "polls every second": 50}
    assert all(late >= 0 for side in sides.values() for late in side.late)
    assert all(set(side.idle) == set(side.cpu) == {"monitor", "postgres"} for side in sides.values())
    assert [(kill.instances, 0 < len(kill.late) <= 100) for kill in found.recovery] == [(1, True), (2, True)]
    assert shares == sorted(shares)
    assert shares[-1] == 1.0
