"""A console whose tokens the tests sign, with neighbours' topics in the tests' hands."""

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from backbone.testing.signer import Signer
from backbone.testing.stage import Actor, Stage

StartConsole = Callable[..., Awaitable[Actor]]


@pytest.fixture
def console(start: Stage, signer: Signer, tmp_path: Path) -> StartConsole:
    """`await console(**settings)` starts a console."""

    async def run(**settings: Any) -> Actor:
        return await start("console", signing_key=signer.pem(tmp_path / "key.pem"), **settings)

    return run
