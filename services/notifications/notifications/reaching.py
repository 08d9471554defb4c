"""How a message leaves: by e-mail (SMTP) or to an endpoint (Standard Webhooks), and what is known of it afterwards.

Everything that fails before the other side could have taken the message certainly did not arrive; what fails after is
unknown. The two are kept apart step by step, because only the first may be sent again by e-mail.
"""

import asyncio
import ipaddress
import socket
from collections.abc import Mapping
from email.message import EmailMessage
from typing import Any, Final
from urllib.parse import SplitResult, unquote, urlsplit
from uuid import UUID

import aiosmtplib
import httpx
import msgspec
from standardwebhooks.webhooks import Webhook

from backbone import clock, times
from notifications import domain

SEND_TIMEOUT_S: Final = 10.0
WHOLE_TIMEOUT_S: Final = 15.0
"""Of one attempt, however slowly the other side goes on; less than the lease of a claimed message."""
_NAT64: Final = ipaddress.ip_network("64:ff9b::/96")
_SIX_TO_FOUR: Final = ipaddress.ip_network("2002::/16")


class NotSent(Exception):
    """It certainly did not arrive; the text is the reason."""


class Refused(Exception):
    """The other side will never take it; the text is the reason."""


class Gone(Refused):
    """The endpoint is no more, and wants nothing more."""


class Unknown(Exception):
    """It may have arrived."""


async def mail(smtp_url: str, message: EmailMessage) -> None:
    """Hand a message to the mail server."""
    place = urlsplit(smtp_url)
    client = aiosmtplib.SMTP(
        hostname=place.hostname or "",
        port=place.port or (465 if place.scheme == "smtps" else 25),
        username=unquote(place.username) if place.username else None,
        password=unquote(place.password) if place.password else None,
        use_tls=place.scheme == "smtps",
        timeout=SEND_TIMEOUT_S,
    )
    try:
        await _mail(client, message)
    finally:
        client.close()


async def _mail(client: aiosmtplib.SMTP, message: EmailMessage) -> None:
    try:
        async with asyncio.timeout(WHOLE_TIMEOUT_S):
            await client.connect()
            await client.mail(message["From"].addresses[0].addr_spec)
            await client.rcpt(message["To"].addresses[0].addr_spec)
    except aiosmtplib.SMTPResponseException as error:
        raise (Refused if error.code >= 500 else NotSent)(f"the mail server answered {error.code}") from error
    except (aiosmtplib.SMTPException, OSError) as error:
        raise NotSent(f"the mail server cannot be reached: {type(error).__name__}") from error
    except UnicodeEncodeError as error:
        raise Refused("the mail server does not take such an address") from error
    try:
        await client.data(message.as_bytes(policy=message.policy.clone(linesep="\r\n")))
    except aiosmtplib.SMTPResponseException as error:
        raise (Refused if error.code >= 500 else NotSent)(f"the mail server answered {error.code}") from error
    except (aiosmtplib.SMTPException, OSError) as error:
        raise Unknown(f"the connection broke: {type(error).__name__}") from error


def letter(
    row: Mapping[str, Any], body: Mapping[str, Any], *, to: str | None, sender: str, console: str
) -> EmailMessage:
    """Return the e-mail of a message. Refused for an address that is none."""
    message = EmailMessage()
    try:
        message["From"] = sender
        message["To"] = to or ""
        if len(message["To"].addresses) != 1 or not message["To"].addresses[0].domain:
            raise ValueError
    except (ValueError, IndexError) as error:
        raise Refused("the recipient has no e-mail address that could be one") from error
    message["Subject"] = domain.subject_line(row["kind"], body)
    message["Message-ID"] = f"<{row['message_id']}@handoff>"
    link = f"{console}/leads/{row['lead_id']}" if row["lead_id"] is not None else console
    lines = [f"{name}: {value}" for name, value in body.items() if value and name != "who"]
    message.set_content("\n".join([link, *lines]))
    return message


async def post(
    client: httpx.AsyncClient, url: str, secret: str, message_id: UUID, content: Mapping[str, Any], *, anywhere: bool
) -> None:
    """Post a signed message to an endpoint; `anywhere` lets it be in our own network."""
    place = urlsplit(url)
    target, headers, extensions = (url, {}, {}) if anywhere else await _pinned(place)
    now = clock.now()
    payload = msgspec.json.encode({"type": content["type"], "timestamp": times.text(now), "data": content["data"]})
    headers |= {
        "webhook-id": str(message_id),
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": Webhook(secret).sign(str(message_id), now, payload.decode()),
        "content-type": "application/json",
    }
    try:
        async with asyncio.timeout(WHOLE_TIMEOUT_S):
            # What it answers beside the status is nobody's business, and may have no end.
            async with client.stream("POST", target, content=payload, headers=headers, extensions=extensions) as answer:
                status = answer.status_code
    except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout) as error:
        raise NotSent(f"the endpoint cannot be reached: {type(error).__name__}") from error
    except (httpx.InvalidURL, httpx.UnsupportedProtocol) as error:
        raise Refused("the endpoint's address is none") from error
    except (httpx.HTTPError, TimeoutError) as error:
        raise Unknown(f"the connection broke: {type(error).__name__}") from error
    if status == 410:
        raise Gone("the endpoint is gone (410)")
    if not 200 <= status < 300:
        raise NotSent(f"the endpoint answered {status}")


def check_address(url: str) -> None:
    """Refuse what is plainly no public address: ValueError with how it should be."""
    place = _split(url)
    if place.scheme != "https":
        raise ValueError("an address that begins with https://")
    try:
        found = ipaddress.ip_address(place.hostname or "")
    except ValueError:
        if (place.hostname or "").rstrip(".").rpartition(".")[2].lower() in ("localhost", "local", "internal"):
            raise ValueError("an address outside this network") from None
        return
    if not is_public(found):
        raise ValueError("an address outside this network")


def check_form(url: str) -> None:
    """Refuse what is no address of a web server: ValueError."""
    if _split(url).scheme not in ("http", "https"):
        raise ValueError("an address that begins with https://")


def _split(url: str) -> SplitResult:
    try:
        place = urlsplit(url)
        is_whole = bool(place.hostname) and place.username is None and place.port != 0
    except ValueError:  # whose text has the value in it
        is_whole = False
    if not is_whole or any(ord(character) <= 32 for character in url):
        raise ValueError("an address such as https://example.com/hook, without a user in it")
    return place


def is_public(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    """Say whether an address lies outside every private network, also behind what stands for another address."""
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is not None:
            return is_public(address.ipv4_mapped)
        if address in _NAT64 or address in _SIX_TO_FOUR:
            return False
    return address.is_global and not address.is_multicast


async def _pinned(place: SplitResult) -> tuple[str, dict[str, str], dict[str, Any]]:
    """Return the address with its name resolved, checked and put in: it is not resolved again, to something else."""
    if place.scheme != "https" or not place.hostname:
        raise Refused("a webhook's address begins with https://")
    loop = asyncio.get_running_loop()
    try:
        found = await loop.getaddrinfo(place.hostname, place.port or 443, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise NotSent("the endpoint's name cannot be resolved") from error
    addresses = [ipaddress.ip_address(str(one[4][0]).partition("%")[0]) for one in found]
    if not addresses or not all(is_public(one) for one in addresses):
        raise Refused("a webhook goes to public addresses alone")
    host = f"[{addresses[0]}]" if addresses[0].version == 6 else str(addresses[0])
    target = place._replace(netloc=f"{host}:{place.port or 443}", fragment="").geturl()
    return target, {"host": place.netloc}, {"sni_hostname": place.hostname}
