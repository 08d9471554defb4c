"""A lead that nobody posted, read as intake and qualification would have told of it."""

from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import BeforeValidator, Field

from backbone import conditions, fields, ids, normal_forms
from backbone.database import Connection
from backbone.fields import Id
from backbone.problem import Pointer, Problem
from handoff.events.v1 import common_pb2
from routing import store_accounts
from routing.domain import GRADES, WORST_RANK, Lead, role_at
from routing.store_group import Group

Text = Annotated[str, Field(max_length=2000), BeforeValidator(lambda said: "" if said is None else said)]


class Imagined(fields.Body):
    """A lead as POST /v1/leads takes it, and how qualification would see it; or the id of one that there is.

    What decides nothing (`cost` to `keep`) is taken and not looked at.
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
    cost: Any = None
    currency: Any = None
    consent: Any = None
    owner_id: Any = None
    assigned_at: Any = None
    status: Any = None
    disqualified_reason: Any = None
    connection_id: Any = None
    live: Any = None
    keep: Any = None


async def lead_of(conn: Connection, said: Imagined, group: Group, now: datetime) -> Lead:
    """Return what a decision would read of it."""
    # What sales confirmed is sales' work under the rules of what is ready for them.
    stage = "srl" if said.stage == "sql" else said.stage or "mql"
    role, made = role_at(stage), _fields(said)
    seen = common_pb2.Qualification(
        stage=stage, grade=said.grade, persona=said.persona, fit=said.fit, interest=said.interest, cycle=said.cycle
    )
    lead_id, company = ids.derived("lead", "explained"), (made.account_domain, made.company)
    companies = await store_accounts.companies(conn, [company], group.policy, has_accounts=group.has_accounts)
    values = conditions.lead_values(made, seen)
    values |= companies.values(*company, group.roles, but=lead_id, role=role)
    values["lead.attributes"] = said.attributes
    return Lead(
        lead_id=lead_id,
        values=values,
        rank=GRADES.get(said.grade, WORST_RANK),
        created_at=said.occurred_at or now,
        owner_rep=values["account.rep_id"] or None,
        account_rep=values["account.active_rep"] or None,
        host_rep=group.by_email.get(said.host_email.lower()),
        previous_rep=said.previous_rep if group.roles.get(said.previous_rep or "") == role else None,
        previous_at=said.previous_at,
        sdr_id=said.sdr_id,
    )


def _fields(said: Imagined) -> common_pb2.LeadFields:
    """Return the lead's fields in their normal forms. Problem 422 for what has none, as intake would say."""
    texts = ("company", "website", "job_title", "industry", "source", "medium", "campaign")
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
        **{name: getattr(said, name) for name in texts},
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
    )
