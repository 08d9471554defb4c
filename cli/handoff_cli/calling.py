"""How the command line calls a running stack: addresses and tokens of its home, patience when it is busy."""

import asyncio
import re
from pathlib import Path
from typing import Any, Final

import httpx

from handoff_cli.stack import fail, make_token
from handoff_local.home import Home

TRIES: Final = 60
LONGEST_WAIT_S: Final = 5.0
_UNDER_WAY: Final = re.compile(r"^handoff_(?:consumer_lag|outbox)_records(?:\{.*\})? (\S+)$", re.MULTILINE)


class Caller:
    """Calls the services of one stack, as somebody with a role, or as nobody."""

    def __init__(self, home: Path, role: str | None = "admin", rep: str | None = None) -> None:
        self.home = Home(home.resolve())
        state = self.home.state()
        if state is None or self.home.supervisor() is None:
            raise fail(f"No stack runs with the home {home}. Start one with `handoff up --home {home}`.")
        self.urls: dict[str, str] = state["urls"]
        self._client = httpx.AsyncClient(headers=self.bearer(role, rep) if role else {}, timeout=60)

    def bearer(self, role: str, rep: str | None = None) -> dict[str, str]:
        """Return the header of somebody with a role."""
        return {"Authorization": f"Bearer {make_token(self.home, role, rep)}"}

    async def __aenter__(self) -> "Caller":
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._client.aclose()

    async def call(self, method: str, service: str, path: str, **more: Any) -> httpx.Response:
        """Call a service; one that is busy or away for a moment is tried again for a while."""
        for attempt in range(TRIES):
            try:
                answer = await self._client.request(method, f"{self.urls[service]}{path}", **more)
            except httpx.TransportError:
                if attempt == TRIES - 1:
                    raise fail(f"{service} does not answer. See `handoff status --home {self.home.path}`.") from None
                await asyncio.sleep(0.5)
                continue
            if answer.status_code not in (429, 503):
                return answer
            await asyncio.sleep(min(LONGEST_WAIT_S, float(answer.headers.get("retry-after", "1"))))
        raise fail(f"{service} stays busy. See `handoff status --home {self.home.path}`.")

    async def ask(self, method: str, service: str, path: str, **more: Any) -> Any:
        """Call, and return the answer's JSON; a refusal ends the command with what it says."""
        answer = await self.call(method, service, path, **more)
        if answer.is_error:
            raise fail(refusal(answer))
        return answer.json() if answer.content else None

    async def under_way(self) -> int:
        """Return how many events wait to be published or read, as the services' metrics have it."""
        ports = [part["metrics_port"] for part in (self.home.state() or {"parts": []})["parts"]]
        total = 0.0
        for port in filter(None, ports):
            try:
                answer = await self._client.get(f"http://127.0.0.1:{port}/metrics")
            except httpx.TransportError:
                continue
            total += sum(float(value) for value in _UNDER_WAY.findall(answer.text))
        return int(total)


def refusal(answer: httpx.Response) -> str:
    """Return a problem's words."""
    try:
        body = answer.json()
        lines = [f"{body.get('title', answer.status_code)}. {body.get('detail', '')}".strip()]
        for error in body.get("errors", []):
            place = f" (line {error['line']}, column {error['column']})" if "line" in error else ""
            lines.append(f"  {error['pointer']}{place}: {error['detail']}")
    except (ValueError, AttributeError, KeyError, TypeError):
        return f"{answer.request.url} answered {answer.status_code}."
    return "\n".join(lines)
