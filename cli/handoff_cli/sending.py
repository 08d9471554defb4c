"""`handoff connection add` and `handoff send`: a marketing tool's way in, and what comes by it."""

import asyncio
import json
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from handoff_cli import senders
from handoff_cli.calling import Caller, refusal
from handoff_cli.stack import DEFAULT_HOME, HomeOption, fail, out
from handoff_local.home import Home

connection = typer.Typer(help="Ways in for marketing tools.", no_args_is_help=True)
SECRETS: Final = "connection-secrets"
MOST_AT_ONCE: Final = 64
MOST_TOLD_ONE_BY_ONE: Final = 20
ProviderArgument = Annotated[str, typer.Argument(help=f"One of {', '.join(senders.PROVIDERS)}.")]


@connection.command("add")
def add(
    provider: ProviderArgument,
    name: Annotated[str, typer.Option(help="What people call it.")],
    secret: Annotated[str | None, typer.Option(help="The sender's secret; made when not given.")] = None,
    setting: Annotated[list[str] | None, typer.Option(help="key=value, such as default_region=DE.")] = None,
    home: HomeOption = DEFAULT_HOME,
) -> None:
    """Make a connection; prints its id, hook URL and secret."""
    body = {"provider": provider, "name": name, "settings": _settings(setting or [])}
    body |= {"secret": secret} if secret else {}

    async def run() -> Any:
        async with Caller(home) as caller:
            return await caller.ask("POST", "lead-intake", "/v1/connections", json=body)

    made = asyncio.run(run())
    # The secret is shown this once; kept in the home, so that `handoff send` can sign with it.
    Home(home.resolve()).remember(SECRETS, {made["id"]: made["secret"]})
    for field in ("id", "hook_url", "secret"):
        out.print(f"{field}: {made[field]}", highlight=False, markup=False, soft_wrap=True)


def _settings(texts: list[str]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not equals or not key:
            raise fail(f"{text}: write key=value, such as default_region=DE.")
        # Lists and objects are written as JSON; all else is the text itself.
        try:
            found[key] = json.loads(value) if value[:1] in ("{", "[") else value
        except ValueError:
            raise fail(f"{key}: the value begins like JSON, and is none.") from None
    return found


def send(
    provider: ProviderArgument,
    connection_id: Annotated[str, typer.Option("--connection", help="The connection's id.")],
    secret: Annotated[
        str,
        typer.Option(
            help="The connection's secret, when it was not made by `handoff connection add` with this home.",
            envvar="HANDOFF_CONNECTION_SECRET",
        ),
    ] = "",
    file: Annotated[Path | None, typer.Option(help="A payload to post; made up when not given.")] = None,
    count: Annotated[int, typer.Option(min=1, help="How many.")] = 1,
    rate: Annotated[float, typer.Option(min=0.01, max=10_000, help="How many a second.")] = 10.0,
    home: HomeOption = DEFAULT_HOME,
) -> None:
    """Sign and post a payload the way that provider does."""
    if provider not in senders.PROVIDERS:
        raise fail(f"{provider} is not here yet. Take one of {', '.join(senders.PROVIDERS)}.")
    secret = secret or Home(home.resolve()).remembered(SECRETS).get(connection_id, "")
    if not secret:
        raise fail(f"The secret of {connection_id} is not known here. Give it with --secret.")
    payload = _payload(provider, file)

    async def run() -> Counter[str]:
        # As nobody: a marketing tool has its secret and no token of ours.
        async with Caller(home, None) as caller:
            path = f"/v1/hooks/{connection_id}"
            url = f"{caller.urls['lead-intake']}{path}"

            async def one(number: int) -> list[dict[str, Any]]:
                body = payload(number)
                headers = {"content-type": "application/json", **senders.sign(provider, secret, url, body)}
                answer = await caller.call("POST", "lead-intake", path, content=body, headers=headers)
                if answer.is_error:
                    raise Refused(refusal(answer))
                events: list[dict[str, Any]] = answer.json()["events"]
                return events

            return await _at_a_rate(one, count, rate)

    began = time.monotonic()
    try:
        outcomes = asyncio.run(run())
    except Refused as fault:
        raise fail(str(fault)) from None
    if count > MOST_TOLD_ONE_BY_ONE:
        told = ", ".join(f"{number} {outcome}" for outcome, number in sorted(outcomes.items()))
        out.print(f"{told} in {time.monotonic() - began:.1f} s", highlight=False)


def _payload(provider: str, file: Path | None) -> Callable[[int], bytes]:
    if file is None:
        return lambda number: json.dumps(senders.sample(provider, number)).encode()
    try:
        content = file.read_bytes()
    except OSError as error:
        raise fail(f"{file} cannot be read: {error.strerror}.") from None
    return lambda _: content


async def _at_a_rate(one: Callable[[int], Any], count: int, rate: float) -> Counter[str]:
    """Start so many a second, whatever each takes, and count what became of them."""
    outcomes: Counter[str] = Counter()
    limit = asyncio.Semaphore(MOST_AT_ONCE)
    began = time.monotonic()
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=out, disable=count <= MOST_TOLD_ONE_BY_ONE) as progress:
        task = progress.add_task("sent", total=count)

        async def post(number: int) -> None:
            try:
                for event in await one(number):
                    outcomes[event["outcome"]] += 1
                    if count <= MOST_TOLD_ONE_BY_ONE:
                        _tell(event)
            finally:
                limit.release()
            progress.advance(task)

        posts: list[asyncio.Task[None]] = []
        for number in range(count):
            await asyncio.sleep(max(0.0, began + number / rate - time.monotonic()))
            await limit.acquire()
            if any(post.done() and post.exception() for post in posts[-MOST_AT_ONCE:]):
                break
            posts.append(asyncio.create_task(post(number)))
        await asyncio.gather(*posts)
    return outcomes


class Refused(Exception):
    """The door did not take it; the text says why."""


def _tell(event: dict[str, Any]) -> None:
    words = (event["outcome"], event.get("lead_id", ""), event.get("reason", ""))
    out.print(" ".join(filter(None, words)), highlight=False, markup=False, soft_wrap=True)
