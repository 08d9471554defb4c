"""Step 1: a lead comes in by HTTP."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Any

from fastapi import Depends, FastAPI, Request
from pydantic import BaseModel, EmailStr, Field
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from benchmarks.naive.messaging import Session, producer, publish
from benchmarks.naive.models import Lead


class LeadIn(BaseModel):
    """What is posted."""

    email: EmailStr
    company: str | None = Field(default=None, max_length=300)
    employees: int | None = Field(default=None, ge=0)
    attributes: dict[str, Any] = Field(default_factory=dict)


class Accepted(BaseModel):
    """What is answered."""

    lead_id: str
    outcome: str


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Keep a producer while the application runs."""
    app.state.producer = producer()
    await app.state.producer.start()
    yield
    await app.state.producer.stop()


app = FastAPI(title="The naive design", lifespan=lifespan)


async def session() -> AsyncIterator[AsyncSession]:
    """Return the request's session."""
    async with Session() as made:
        yield made


@app.post("/v1/leads", status_code=202)
async def post_lead(body: LeadIn, request: Request, db: Annotated[AsyncSession, Depends(session)]) -> Accepted:
    """Save a lead, then tell the next step."""
    lead = await db.scalar(select(Lead).where(Lead.email == body.email))
    outcome = "updated" if lead is not None else "created"
    if lead is None:
        lead = Lead(email=body.email)
        db.add(lead)
    lead.company, lead.employees, lead.attributes = body.company, body.employees, body.attributes
    await db.commit()
    await publish(request.app.state.producer, "naive.leads", {"lead_id": str(lead.id)})
    return Accepted(lead_id=str(lead.id), outcome=outcome)
