"""Sends what is claimed: e-mail by SMTP, webhooks by Standard Webhooks, a few at once.

A message is claimed in one transaction, sent, and its fate recorded in another. When the process dies in between, or
the connection breaks after the send, nobody knows: the message is `unknown`, and repeated only where its id tells the
other side that it has it already.
"""

import asyncio
import ipaddress
import socket
from collections.abc import Mapping
from datetime import UTC, datetime
from email.message import EmailMessage
from typing import Any, Final
from urllib.parse import urlsplit

import aiosmtplib
import httpx
import msgspec
import structlog
from standardwebhooks.webhooks import Webhook

from backbone import database, subjects, times, vault
from backbone.database import Connection, Database
from backbone.outbox import Outbox
from notifications import domain, events, store
from notifications.domain import Channel, State
from notifications.settings import Settings

POLL_S: Final = 0.25
NAME_PATIENCE_S: Final = 2.0
SEND_TIMEOUT_S: Final = 10.0

log = structlog.get_logger()


class NotSent(Exception):
    """It certainly did not arrive; the text is the reason."""


class Refused(Exception):
    """The other side will never take it; the text is the reason."""


class Unknown(Exception):
    """It may have arrived."""


class Sender:
    """Sends for ever."""

    def __init__(self, db: Database, outbox: Outbox, settings: Settings) -> None:
        self._db = db
        self._outbox = outbox
        self._settings = settings
        keys = vault.KeyClient(settings.intake_url, settings.service_key) if settings.intake_url else None
        self._keys = keys
        self._http = httpx.AsyncClient(timeout=SEND_TIMEOUT_S, follow_redirects=False)

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()
        if self._keys is not None:
            await self._keys.close()

    async def run(self) -> None:
        """Claim and send, a few at once."""
        while True:
            try:
                rows = await self._db.run(self._claim)
            except Exception as error:
                if not database.is_transient(error):
                    raise
                rows = []
            if not rows:
                await asyncio.sleep(POLL_S)
                continue
            await asyncio.gather(*(self._deliver(row) for row in rows))

    async def _claim(self, conn: Connection) -> list[Any]:
        for row in await store.abandoned(conn):
            if domain.may_repeat(row["channel"]):
                await store.record(
                    conn, row["message_id"], State.PENDING, "sent again: its fate is unknown", again_in_s=0
                )
            else:
                await self._settle(conn, row, State.UNKNOWN, "the sender ended before it knew")
        return await store.claim(conn, limit=self._settings.senders, lease_s=self._settings.lease_seconds)

    async def _deliver(self, row: Any) -> None:
        try:
            body = {**row["body"], "who": await self._name(row["lead_id"])}
            if row["channel"] == Channel.EMAIL:
                await self._email(row, body)
            else:
                await self._webhook(row, body)
        except NotSent as error:
            again = domain.retry_after(row["attempts"])
            await self._record(row, State.PENDING if again is not None else State.FAILED, str(error), again)
        except Refused as error:
            await self._record(row, State.FAILED, str(error), None)
        except Unknown as error:
            again = domain.retry_after(row["attempts"]) if domain.may_repeat(row["channel"]) else None
            await self._record(row, State.PENDING if again is not None else State.UNKNOWN, str(error), again)
        else:
            await self._record(row, State.DELIVERED, None, None)

    async def _record(self, row: Any, state: State, reason: str | None, again_in_s: float | None) -> None:
        async def act(conn: Connection) -> None:
            if state is State.PENDING:
                await store.record(conn, row["message_id"], state, reason, again_in_s=again_in_s)
            else:
                await self._settle(conn, row, state, reason)

        await self._db.run(act)

    async def _settle(self, conn: Connection, row: Any, state: State, reason: str | None) -> None:
        """Record the end of a message and tell it."""
        made = events.told(
            row,
            await times.now(conn),
            delivered=state is State.DELIVERED,
            reason=reason or "",
            unknown=state is State.UNKNOWN,
        )
        locked = await subjects.lock(conn, [made.subject])
        await store.record(conn, row["message_id"], state, reason, again_in_s=None)
        if locked[made.subject].erased_at is None:
            await self._outbox.add(conn, [made])

    async def _name(self, lead_id: Any) -> str:
        """Return the lead's name; a message waits two seconds for it at most, then goes without."""
        if self._keys is None or lead_id is None:
            return ""
        try:
            async with self._db.reading() as conn:
                row = await store.lead(conn, lead_id)
            if row is None or not row["sealed"]:
                return ""
            keys = await asyncio.wait_for(self._keys.fetch([row["key_lead_id"]]), NAME_PATIENCE_S)
            key = keys.get(row["key_lead_id"])
            person: Mapping[str, Any] = vault.open_sealed(key, row["key_lead_id"], row["sealed"]) if key else {}
        except (httpx.HTTPError, TimeoutError, ValueError, OSError):
            return ""
        return " ".join(filter(None, (person.get("first_name"), person.get("last_name"))))

    async def _email(self, row: Any, body: Mapping[str, Any]) -> None:
        place = urlsplit(self._settings.smtp_url)
        message = EmailMessage()
        message["From"] = self._settings.sender
        message["To"] = row["email"]
        message["Subject"] = domain.subject_line(row["kind"], body)
        message["Message-ID"] = f"<{row['message_id']}@handoff>"
        lines = [f"{self._settings.console_public_url}/leads/{row['lead_id']}"]
        lines += [f"{name}: {value}" for name, value in body.items() if value and name != "who"]
        message.set_content("\n".join(lines))
        client = aiosmtplib.SMTP(hostname=place.hostname or "", port=place.port or 25, timeout=SEND_TIMEOUT_S)
        try:
            await client.connect()
        except (aiosmtplib.SMTPException, OSError) as error:
            raise NotSent(f"the mail server cannot be reached: {type(error).__name__}") from error
        try:
            await client.send_message(message)
        except aiosmtplib.SMTPResponseException as error:
            raise (Refused if error.code >= 500 else NotSent)(f"the mail server answered {error.code}") from error
        except aiosmtplib.SMTPRecipientsRefused as error:
            raise Refused("the mail server refused the address") from error
        except (aiosmtplib.SMTPException, OSError) as error:
            raise Unknown(f"the connection broke: {type(error).__name__}") from error
        finally:
            client.close()

    async def _webhook(self, row: Any, body: Mapping[str, Any]) -> None:
        url = row["webhook_url"]
        if url is None:
            raise Refused("the recipient has no webhook any more")
        if not self._settings.allow_private_webhooks:
            await check_public(url)
        now = datetime.now(UTC)
        payload = msgspec.json.encode(
            {
                "type": row["kind"],
                "timestamp": times.text(now),
                "data": {"lead_id": str(row["lead_id"]), "rep_id": row["rep_id"], **body},
            }
        ).decode()
        signature = Webhook(row["webhook_secret"]).sign(str(row["message_id"]), now, payload)
        headers = {
            "webhook-id": str(row["message_id"]),
            "webhook-timestamp": str(int(now.timestamp())),
            "webhook-signature": signature,
            "content-type": "application/json",
        }
        try:
            answer = await self._http.post(url, content=payload, headers=headers)
        except (httpx.ConnectError, httpx.ConnectTimeout) as error:
            raise NotSent(f"the endpoint cannot be reached: {type(error).__name__}") from error
        except httpx.HTTPError as error:
            raise Unknown(f"the connection broke: {type(error).__name__}") from error
        if answer.status_code == 410:
            raise Refused("the endpoint is gone (410)")
        if not answer.is_success:
            raise NotSent(f"the endpoint answered {answer.status_code}")


async def check_public(url: str) -> None:
    """Refuse an address inside our own network: a webhook must not be a way to look around in it."""
    place = urlsplit(url)
    if place.scheme != "https" or not place.hostname:
        raise Refused("a webhook's address begins with https://")
    loop = asyncio.get_running_loop()
    try:
        found = await loop.getaddrinfo(place.hostname, place.port or 443, type=socket.SOCK_STREAM)
    except OSError as error:
        raise NotSent("the endpoint's name cannot be resolved") from error
    for one in found:
        if not ipaddress.ip_address(one[4][0]).is_global:
            raise Refused("a webhook goes to public addresses alone")
