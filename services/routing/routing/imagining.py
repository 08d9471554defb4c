"""A lead that nobody posted, read as intake and qualification would have told of it."""

from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import BeforeValidator, Field

from backbone import fields, ids, lead_values, normal_forms, times
from backbone.database import Connection
from backbone.fields import Id
from backbone.problem import Pointer, Problem
from handoff.events.v1 import common_pb2
from routing import store_accounts
from routing.domain import ACTIVE_REP, GRADES, WORST_RANK, Lead, role_at, who_may_have
from routing.store_group import Group

Text = Annotated[str, Field(max_length=2000), BeforeValidator(lambda said: "" if said is None else said)]


class Consent(fields.Body):
    """What the lead allowed, or did not."""

    purpose: str
    basis: str = ""
    granted: bool = True
    at: fields.Instant | None = None
    """None: when the lead came."""
    text_version: str = ""


class Imagined(fields.Body):
    """A lead as POST /v1/leads takes it, and how qualification would see it; or the id of one that there is.

    What decides nothing (`connection_id` to `keep`) is taken and not looked at: who is routed is news.
    """

    lead_id: UUID | None = None
    email: Text = ""
    phone: Text = ""
    first_name: Text = ""
    last_name: Text = ""
    external_id: Text = ""
    company: Text = ""
    website: Text = ""
    job_title: Text = ""
    industry: Text = ""
    country: Text = ""
    source: Text = ""
    medium: Text = ""
    campaign: Text = ""
    employees: Annotated[int, Field(ge=0, le=10**12)] | None = None
    revenue: Annotated[float, Field(ge=0, le=1e15)] | None = None
    attributes: dict[str, Any] = Field(default_factory=dict)
    email_is_free: bool | None = None
    """None, and an empty `account_domain`: as intake would find."""
    account_domain: Text = ""
    stage: Literal["new", "nurture", "mql", "srl", "sql", "customer", "disqualified"] | None = None
    grade: Text = ""
    persona: Text = ""
    fit: float = 0
    interest: float = 0
    cycle: Annotated[int, Field(ge=1, le=10_000)] = 1
    sdr_id: Id | None = None
    host_email: Text = ""
    previous_rep: Id | None = None
    previous_at: fields.Instant | None = None
    """Until when they had it; None: until now."""
    occurred_at: fields.Instant | None = None
    cost: Annotated[float, Field(ge=0, le=1e15)] | None = None
    currency: Text = ""
    consent: Annotated[list[Consent], Field(max_length=50)] = Field(default_factory=list)
    owner_id: Text = ""
    assigned_at: fields.Instant | None = None
    status: Text = ""
    disqualified_reason: Text = ""
    connection_id: Any = None
    live: Any = None
    keep: Any = None


async def lead_of(conn: Connection, said: Imagined, group: Group, now: datetime) -> Lead:
    """Return what a decision would read of it."""
    # What sales confirmed is sales' work under the rules of what is ready for them.
    stage = "srl" if said.stage == "sql" else said.stage or "mql"
    role, made = role_at(stage), _fields(said, said.occurred_at or now)
    seen = common_pb2.Qualification(
        stage=stage, grade=said.grade, persona=said.persona, fit=said.fit, interest=said.interest, cycle=said.cycle
    )
    lead_id, company = ids.derived("lead", "explained"), (made.account_domain, made.company)
    companies = await store_accounts.companies(conn, [company], group.reads, has_accounts=group.has_accounts)
    values = lead_values.of(made, seen, live=True)
    values |= companies.values(*company, group.roles, but=lead_id, role=role)
    values["lead.attributes"] = said.attributes
    return Lead(
        lead_id=lead_id,
        values=values,
        rank=GRADES.get(said.grade, WORST_RANK),
        created_at=said.occurred_at or now,
        owner_rep=who_may_have(values["account.rep_id"], group.roles, role=role),
        account_rep=who_may_have(values[ACTIVE_REP], group.roles, role=role),
        host_rep=who_may_have(group.by_email.get(said.host_email.lower()), group.roles, role=role),
        previous_rep=said.previous_rep if group.roles.get(said.previous_rep or "") == role else None,
        previous_at=said.previous_at,
        sdr_id=said.sdr_id,
    )


def _fields(said: Imagined, at: datetime) -> common_pb2.LeadFields:
    """Return the lead's fields in their normal forms. Problem 422 for what has none, as intake would say."""
    texts = ("company", "website", "job_title", "industry", "source", "medium", "campaign")
    elsewhere = ("owner_id", "status", "disqualified_reason")
    email = normal_forms.email(said.email) if said.email else ""
    country = normal_forms.country(said.country) if said.country else ""
    faults = []
    if email is None:
        faults.append(Pointer("/lead/email", "an address of at most 254 characters, such as name@example.com"))
    if country is None:
        faults.append(Pointer("/lead/country", "ISO 3166-1 alpha-2, such as DE"))
    if email is None or country is None:
        raise Problem(422, "No such lead can be", "Mend the fields that are named.", errors=faults)
    domain = email.rpartition("@")[2]
    is_free = said.email_is_free if said.email_is_free is not None else normal_forms.is_free(domain)
    company_domain = normal_forms.account_domain("" if is_free else domain, said.website)
    return common_pb2.LeadFields(
        **{name: getattr(said, name) for name in (*texts, *elsewhere)},
        country=country,
        has_email=bool(email),
        has_phone=bool(said.phone),
        has_first_name=bool(said.first_name),
        has_last_name=bool(said.last_name),
        email_domain=domain,
        email_is_free=is_free,
        employees=said.employees,
        revenue=said.revenue,
        account_domain=said.account_domain.lower() or company_domain,
        external_ids=[common_pb2.ExternalId(external_id=said.external_id)] if said.external_id else [],
        first_touch=common_pb2.Attribution(
            cost=str(said.cost) if said.cost is not None else "", currency=said.currency.upper()
        ),
        created_at=times.stamp(at),
        assigned_at=times.stamp(said.assigned_at) if said.assigned_at is not None else None,
        consents=[
            common_pb2.Consent(purpose=one.purpose, basis=one.basis, granted=one.granted, at=times.stamp(one.at or at))
            for one in said.consent
        ],
    )
