"""A consumer's process is killed, or stopped and woken, at each step of its batch: all is done once, in order."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from uuid import UUID

import psutil
import pytest

from backbone import ids
from backbone.consumer import Incoming
from backbone.testing import eventually, ledger
from backbone.testing.ledger import Ledger, touch
from backbone.testing.servers import Servers
from backbone.testing.signer import Signer
from backbone.testing.stage import Actor, Stage
from tests.failures import invariants, victim
from tests.failures.member import SESSION_TIMEOUT_MS

LEADS = 3
EACH = 8
DYING = (
    victim.FETCHED,
    victim.OFFSETS_SET,
    victim.STATE_WRITTEN,
    victim.BEFORE_COMMIT,
    victim.COMMITTED,
    victim.ACKNOWLEDGED,
)
STOPPING = (victim.FETCHED, victim.STATE_WRITTEN, victim.ACKNOWLEDGED)


@asynccontextmanager
async def staged(servers: Servers, signer: Signer) -> AsyncIterator[Stage]:
    stage = Stage(servers, signer)
    try:
        yield stage
    finally:
        await stage.close()


async def begin(stage: Stage, url: str, step: str, number: int) -> asyncio.subprocess.Process:
    """Start a process that will meet its fate."""
    settings = stage.settings(url, session_timeout_ms=SESSION_TIMEOUT_MS)
    given = {"step": step, "signal": number, "settings": settings.model_dump()}
    return await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.failures.victim", json.dumps(given), stdout=asyncio.subprocess.PIPE
    )


def work(leads: Sequence[UUID], first: int) -> list[tuple[UUID, object]]:
    return [touch(lead, str(number)) for number in range(first, first + EACH) for lead in leads]


async def check(stage: Stage, actor: Actor, leads: Sequence[UUID], *, count: int) -> list[Incoming]:
    """Hold that everything was applied once and in order, and answered in order; returns the answers on the topic."""
    await actor.settled()
    wanted = [str(number) for number in range(count)]

    async def applied() -> None:
        rows = await ledger.read(actor.database)
        assert {lead: [note for one, note in rows if one == lead] for lead in leads} == dict.fromkeys(leads, wanted)

    await eventually(applied)
    answers = await actor.published(lambda seen: len({event.id for event in seen}) >= count * len(leads))
    assert invariants.in_order(answers) == dict.fromkeys(leads, count)
    return answers


async def killed_at(servers: Servers, signer: Signer, step: str) -> None:
    async with staged(servers, signer) as stage:
        url = await stage.database_url("backbone")
        leads = [ids.new() for _ in range(LEADS)]
        await stage.publish("intake", work(leads, 0))
        process = await begin(stage, url, step, signal.SIGKILL)
        await process.communicate()
        assert process.returncode == -signal.SIGKILL, step

        healer = await stage.bare("routing", Ledger().compose, database_url=url)
        answers = await check(stage, healer, leads, count=EACH)
        if step == victim.ACKNOWLEDGED:
            assert len(answers) > len({event.id for event in answers}), "nothing was sent twice"
            reader = await stage.bare("sla", Ledger(["routing"], answers=False).compose)
            await reader.settled()
            assert len(await ledger.read(reader.database)) == EACH * LEADS


async def stopped_at(servers: Servers, signer: Signer, step: str) -> None:
    async with staged(servers, signer) as stage:
        url = await stage.database_url("backbone")
        leads = [ids.new() for _ in range(LEADS)]
        await stage.publish("intake", work(leads, 0))
        process = await begin(stage, url, step, signal.SIGSTOP)
        try:
            await eventually(lambda: is_stopped(process.pid))
            # Its partitions go to another, who does its work.
            healer = await stage.bare("routing", Ledger().compose, database_url=url)
            await check(stage, healer, leads, count=EACH)
            os.kill(process.pid, signal.SIGCONT)
            await noticed(process, "somebody else has applied" if step != victim.ACKNOWLEDGED else "the relay starts")
            # It is one of two from now on.
            await stage.publish("intake", work(leads, EACH))
            await check(stage, healer, leads, count=2 * EACH)
            process.terminate()
            await process.communicate()
            assert process.returncode == 0, "it did not stop gracefully"
        finally:
            if process.returncode is None:
                process.kill()


async def is_stopped(pid: int) -> None:
    assert psutil.Process(pid).status() == psutil.STATUS_STOPPED


async def noticed(process: asyncio.subprocess.Process, words: str) -> None:
    """Wait until the process has logged this."""
    assert process.stdout is not None
    async with asyncio.timeout(30):
        async for line in process.stdout:
            if words in line.decode():
                return
    raise AssertionError(f"never said: {words}")


@pytest.mark.timeout(240)
async def test_a_consumer_that_is_killed_at_any_step_leaves_its_batch_undone_or_done_once(
    servers: Servers, signer: Signer
) -> None:
    async with asyncio.TaskGroup() as group:
        for step in DYING:
            group.create_task(killed_at(servers, signer, step))


@pytest.mark.timeout(240)
async def test_a_consumer_that_was_stopped_and_wakes_has_no_second_effect(servers: Servers, signer: Signer) -> None:
    async with asyncio.TaskGroup() as group:
        for step in STOPPING:
            group.create_task(stopped_at(servers, signer, step))
