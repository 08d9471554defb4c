"""Sends what is claimed, many at once, so that one endpoint that hangs keeps nobody waiting.

A message is claimed in one transaction, sent, and its fate recorded in another. When the process dies in between, or
the connection breaks after the send, nobody knows: the message is `unknown`, and repeated only where its id tells the
other side that it has it already.
"""

import asyncio
import contextlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final
from uuid import UUID

import httpx

from backbone import calling, database, subjects, times, vault
from backbone.database import Connection, Database
from backbone.outbox import Outbox
from notifications import domain, events, reaching, store
from notifications.domain import Channel, State
from notifications.reaching import Gone, NotSent, Refused, Unknown
from notifications.settings import Settings

POLL_S: Final = 0.25
NAME_PATIENCE_S: Final = 2.0
NAME_POLL_S: Final = 0.1
PER_RECIPIENT: Final = 2
"""Messages on their way to one recipient over one channel at once."""


class Sender:
    """Sends for ever."""

    def __init__(self, db: Database, outbox: Outbox, settings: Settings) -> None:
        self._db = db
        self._outbox = outbox
        self._settings = settings
        self._keys = vault.KeyClient(settings.intake_url, settings.service_key) if settings.intake_url else None
        self._http = calling.client(
            timeout=reaching.SEND_TIMEOUT_S,
            follow_redirects=False,
            limits=httpx.Limits(max_connections=settings.senders, max_keepalive_connections=settings.senders),
        )
        self._under_way: dict[asyncio.Task[None], tuple[str, str]] = {}
        self._woken = asyncio.Event()

    def wake(self) -> None:
        """Look for messages now: some may have been committed."""
        self._woken.set()

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()
        if self._keys is not None:
            await self._keys.close()

    async def run(self) -> None:
        """Claim and send, until cancelled; what is on its way then is recorded by whoever finds its lease over."""
        try:
            while True:
                await self._start_some()
                # Only now: the claim's own commit wakes us too. What it may hide is seen by the next poll.
                self._woken.clear()
                waiting = asyncio.ensure_future(self._woken.wait())
                done, _ = await asyncio.wait(
                    {waiting, *self._under_way}, timeout=POLL_S, return_when=asyncio.FIRST_COMPLETED
                )
                waiting.cancel()
                for task in done - {waiting}:
                    self._under_way.pop(task)  # type: ignore[arg-type]
                    task.result()
        finally:
            for task in self._under_way:
                task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.gather(*self._under_way, return_exceptions=True)

    async def _start_some(self) -> None:
        free = self._settings.senders - len(self._under_way)
        if free <= 0:
            return
        counts = Counter(self._under_way.values())
        busy = [recipient for recipient, count in counts.items() if count >= PER_RECIPIENT]
        try:
            rows, places = await self._db.run(lambda conn: self._claim(conn, free, busy))
        except Exception as error:
            if not database.is_transient(error):
                raise
            return
        if not rows:
            return
        names = asyncio.ensure_future(self._names([row["lead_id"] for row in rows if row["lead_id"] is not None]))
        for row in rows:
            task = asyncio.create_task(self._deliver(row, places.get(row["rep_id"]), names))
            self._under_way[task] = (row["rep_id"], row["channel"])

    async def _claim(
        self, conn: Connection, free: int, busy: Sequence[tuple[str, str]]
    ) -> tuple[list[Any], dict[str, Any]]:
        for row in await store.abandoned(conn):
            if domain.may_repeat(row["channel"]):
                await store.record(conn, row, State.PENDING, "sent again: its fate is unknown", again_in_s=0)
            else:
                await self._settle(conn, row, State.UNKNOWN, "the sender ended before it knew")
        rows = await store.claim(
            conn, limit=free, lease_s=self._settings.lease_seconds, per_recipient=PER_RECIPIENT, busy=busy
        )
        return rows, await store.addresses(conn, {row["rep_id"] for row in rows}) if rows else {}

    async def _deliver(self, row: Any, place: Any, names: "asyncio.Future[dict[UUID, str]]") -> None:
        try:
            body = {**row["body"], "who": (await asyncio.shield(names)).get(row["lead_id"], "")}
            if row["channel"] == Channel.EMAIL:
                await self._email(row, place, body)
            else:
                await self._webhook(row, place, body)
        except NotSent as error:
            again = domain.retry_after(row["attempts"])
            await self._record(row, State.PENDING if again is not None else State.FAILED, str(error), again)
        except Gone as error:
            await self._patiently(lambda conn: store.switch_off(conn, row["rep_id"], place["webhook_url"]))
            await self._record(row, State.FAILED, str(error), None)
        except Refused as error:
            await self._record(row, State.FAILED, str(error), None)
        except Unknown as error:
            again = domain.retry_after(row["attempts"]) if domain.may_repeat(row["channel"]) else None
            await self._record(row, State.PENDING if again is not None else State.UNKNOWN, str(error), again)
        else:
            await self._record(row, State.DELIVERED, None, None)

    async def _email(self, row: Any, place: Any, body: Mapping[str, Any]) -> None:
        message = reaching.letter(
            row,
            body,
            to=place["email"] if place is not None else None,
            sender=self._settings.sender,
            console=self._settings.console_public_url,
        )
        await reaching.mail(self._settings.smtp_url, message)

    async def _webhook(self, row: Any, place: Any, body: Mapping[str, Any]) -> None:
        if place is None or place["webhook_url"] is None:
            raise Refused("the recipient has no webhook, or it was switched off")
        lead_id = str(row["lead_id"]) if row["lead_id"] is not None else None
        await reaching.post(
            self._http,
            place["webhook_url"],
            place["webhook_secret"],
            row["message_id"],
            {"type": row["kind"], "data": {"lead_id": lead_id, "rep_id": row["rep_id"], **body}},
            anywhere=self._settings.allow_private_webhooks,
        )

    async def _record(self, row: Any, state: State, reason: str | None, again_in_s: float | None) -> None:
        async def act(conn: Connection) -> None:
            if state is State.PENDING:
                await store.record(conn, row, state, reason, again_in_s=again_in_s)
            else:
                await self._settle(conn, row, state, reason)

        await self._patiently(act)

    async def _patiently(self, act: Any) -> None:
        """Do `act` in a transaction; what cannot be recorded now is found again when its lease is over."""
        try:
            await self._db.run(act)
        except Exception as error:
            if not database.is_transient(error):
                raise

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
        if await store.record(conn, row, state, reason, again_in_s=None) and locked[made.subject].erased_at is None:
            await self._outbox.add(conn, [made])

    async def _names(self, lead_ids: Iterable[UUID]) -> dict[UUID, str]:
        """Return leads' names; messages wait two seconds for them at most, then go without."""
        found: dict[UUID, str] = {}
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(NAME_PATIENCE_S):
                await self._find_names(set(lead_ids), found)
        return found

    async def _find_names(self, wanted: set[UUID], found: dict[UUID, str]) -> None:
        keys = self._keys
        while keys is not None and wanted:
            try:
                async with self._db.reading() as conn:
                    rows = await store.sealed(conn, wanted)
                known = {lead_id: row for lead_id, row in rows.items() if row["sealed"]}
                given = await keys.fetch({row["key_lead_id"] for row in known.values()}) if known else {}
                for lead_id, row in known.items():
                    found[lead_id] = _name(given.get(row["key_lead_id"]), row)
                # Who routed the lead may be read before who captured it; its topic is not far behind.
                wanted -= rows.keys()
            except (httpx.HTTPError, OSError):
                pass
            except Exception as error:
                if not database.is_transient(error):
                    raise
            if wanted:
                await asyncio.sleep(NAME_POLL_S)


def _name(key: bytes | None, row: Any) -> str:
    try:
        person = vault.open_sealed(key, row["key_lead_id"], row["sealed"]) if key is not None else {}
    except ValueError:
        return ""
    return " ".join(filter(None, (person.get("first_name"), person.get("last_name"))))
