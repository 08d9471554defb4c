"""The monitor that people write first: once a second it asks what is due, and alerts all of it in one commit."""

import asyncio
import uuid
from datetime import datetime

from sqlalchemy import DateTime, Index, String, Uuid, func, select
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from benchmarks.naive.messaging import Session, run
from benchmarks.naive.models import now

POLL_S = 1.0


class Base(DeclarativeBase):
    """What both tables share."""


class Clock(Base):
    """A window in which the rep has to follow up."""

    __tablename__ = "clocks"

    id: Mapped[uuid.UUID] = mapped_column(Uuid, primary_key=True, default=uuid.uuid4)
    lead_id: Mapped[uuid.UUID] = mapped_column(Uuid, index=True)
    rep_id: Mapped[str] = mapped_column(String(128))
    kind: Mapped[str] = mapped_column(String(40))
    due_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    alerted_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))


Index("clocks_open", Clock.due_at, postgresql_where=Clock.alerted_at.is_(None))


class Alert(Base):
    """What a rep and a manager are told."""

    __tablename__ = "alerts"

    id: Mapped[uuid.UUID] = mapped_column(Uuid, primary_key=True, default=uuid.uuid4)
    clock_id: Mapped[uuid.UUID] = mapped_column(Uuid, index=True)
    lead_id: Mapped[uuid.UUID] = mapped_column(Uuid)
    rep_id: Mapped[str] = mapped_column(String(128))
    kind: Mapped[str] = mapped_column(String(40))
    due_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    at: Mapped[datetime] = mapped_column(DateTime(timezone=True), default=now)


async def poll() -> None:
    """Alert what is due, then sleep for a second."""
    while True:
        async with Session() as session:
            due = await session.scalars(select(Clock).where(Clock.due_at <= func.now(), Clock.alerted_at.is_(None)))
            for clock in due:
                clock.alerted_at = now()
                session.add(
                    Alert(
                        clock_id=clock.id,
                        lead_id=clock.lead_id,
                        rep_id=clock.rep_id,
                        kind=clock.kind,
                        due_at=clock.due_at,
                    )
                )
            await session.commit()
        await asyncio.sleep(POLL_S)


if __name__ == "__main__":
    run(poll())
