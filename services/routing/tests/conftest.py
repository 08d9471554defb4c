"""The service as its tests have it."""

import pytest

from backbone.testing.stage import Actor, Stage


@pytest.fixture
async def routing(start: Stage) -> Actor:
    return await start("routing")
