"""`handoff connection add` and `handoff send`: a marketing tool's way in, and what comes by it."""

import asyncio
import base64
import hmac
import json
import time
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from handoff_cli.calling import Caller, refusal
from handoff_cli.stack import DEFAULT_HOME, HomeOption, fail, out

connection = typer.Typer(help="Ways in for marketing tools.", no_args_is_help=True)
PROVIDERS: Final = ("generic", "hubspot-workflow", "mautic")


@connection.command("add")
def add(
    provider: Annotated[str, typer.Argument(help=f"One of {', '.join(PROVIDERS)}.")],
    name: Annotated[str, typer.Option(help="What people call it.")],
    secret: Annotated[str | None, typer.Option(help="The sender's secret; made when not given.")] = None,
    setting: Annotated[list[str] | None, typer.Option(help="key=value, such as default_region=DE.")] = None,
    home: HomeOption = DEFAULT_HOME,
) -> None:
    """Make a connection; prints its id, hook URL and secret."""
    settings = dict(one.split("=", 1) for one in setting or [] if "=" in one)
    body = {"provider": provider, "name": name, "settings": settings, **({"secret": secret} if secret else {})}

    async def run() -> Any:
        async with Caller(home) as caller:
            return await caller.ask("POST", "lead-intake", "/v1/connections", json=body)

    made = asyncio.run(run())
    for field in ("id", "hook_url", "secret"):
        out.print(f"{field}: {made[field]}", highlight=False, soft_wrap=True)


def send(
    provider: Annotated[str, typer.Argument(help=f"One of {', '.join(PROVIDERS)}.")],
    connection_id: Annotated[str, typer.Option("--connection", help="The connection's id.")],
    secret: Annotated[str, typer.Option(help="The connection's secret.", envvar="HANDOFF_CONNECTION_SECRET")],
    file: Annotated[Path | None, typer.Option(help="A payload to post; made up when not given.")] = None,
    count: Annotated[int, typer.Option(min=1, help="How many.")] = 1,
    rate: Annotated[float, typer.Option(min=0.01, help="How many a second.")] = 10.0,
    home: HomeOption = DEFAULT_HOME,
) -> None:
    """Sign and post a payload the way that provider does."""
    if provider not in PROVIDERS:
        raise fail(f"{provider} is not here yet. Take one of {', '.join(PROVIDERS)}.")

    async def run() -> None:
        async with Caller(home) as caller:
            path = f"/v1/hooks/{connection_id}"
            for number in range(count):
                body = file.read_bytes() if file is not None else json.dumps(sample(provider, number)).encode()
                url = f"{caller.urls['lead-intake']}{path}"
                headers = {"content-type": "application/json", **sign(provider, secret, url, body)}
                answer = await caller.call("POST", "lead-intake", path, content=body, headers=headers)
                if answer.is_error:
                    raise fail(refusal(answer))
                for event in answer.json()["events"]:
                    out.print(
                        f"{event['outcome']} {event.get('lead_id', '')} {event.get('reason', '')}", highlight=False
                    )
                if number + 1 < count:
                    await asyncio.sleep(1 / rate)

    asyncio.run(run())


def sign(provider: str, secret: str, url: str, body: bytes) -> dict[str, str]:
    """Return the headers with which a provider proves itself."""
    if provider == "mautic":
        return {"Webhook-Signature": base64.b64encode(hmac.digest(secret.encode(), body, "sha256")).decode()}
    if provider == "hubspot-workflow":
        stamp = str(int(time.time() * 1000))
        signed = b"POST" + url.encode() + body + stamp.encode()
        signature = base64.b64encode(hmac.digest(secret.encode(), signed, "sha256")).decode()
        return {"X-HubSpot-Signature-v3": signature, "X-HubSpot-Request-Timestamp": stamp}
    return {"X-API-Key": secret}


def sample(provider: str, number: int) -> dict[str, Any]:
    """Return a made-up person in the provider's shape."""
    person = {
        "email": f"sample-{time.time_ns()}-{number}@fintrove.example",
        "firstname": "Amara",
        "lastname": "Nwosu",
        "company": "Fintrove",
        "country": "GB",
    }
    if provider == "hubspot-workflow":
        return {"vid": time.time_ns(), "properties": {name: {"value": value} for name, value in person.items()}}
    if provider == "mautic":
        fields = {name: {"value": value} for name, value in person.items()}
        contact = {"id": time.time_ns(), "fields": {"core": fields}}
        return {
            "mautic.lead_post_save_new": [
                {"contact": contact, "timestamp": time.strftime("%FT%T+00:00", time.gmtime())}
            ]
        }
    renamed = {"firstname": "first_name", "lastname": "last_name"}
    return {renamed.get(name, name): value for name, value in person.items()}
