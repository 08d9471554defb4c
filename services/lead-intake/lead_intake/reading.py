"""Turns what a caller posted into an event to accept: normal forms, identifiers, time, and what is news."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

from backbone import ids, normal_forms, times
from backbone.problem import Pointer
from lead_intake import domain, hygiene, leniency, payloads
from lead_intake.asks import Ask, Fact
from lead_intake.domain import Capture
from lead_intake.identity import Identifier, Kind, named_by
from lead_intake.payloads import Consent, Correction, EngagementPost, LeadPost, TouchPost
from lead_intake.vaulting import Vault

DIRECT: Final = "direct"
DEFAULT_SEALED: Final = ("message", "comments", "notes")
_MEETING: Final = "meeting_"
_HOST: Final = "host_email"
_COPIED: Final = ("company", "website", "job_title", "industry", "source", "medium", "campaign")


@dataclass(frozen=True, kw_only=True, slots=True)
class Reader:
    """Reads for one connection."""

    vault: Vault
    live_window: timedelta
    connection_id: str = DIRECT
    provider: str = DIRECT
    settings: Mapping[str, Any]
    lenient: bool = False
    """From a sender that will not correct itself: what has no normal form is kept as it came, sealed."""

    def _hidden(self, said: Mapping[str, Any], kind: str = "") -> frozenset[str]:
        """Return which attributes or properties are personal data: those that are named, and what has an address."""
        configured = self.settings.get("sealed_attributes")
        names = frozenset(DEFAULT_SEALED if configured is None else configured)
        # A host is one of us: routing finds the rep by it, as reps' work addresses travel in the clear.
        clear = _HOST if kind.startswith(_MEETING) and hygiene.is_address(said.get(_HOST)) else None
        found = {
            name for name, value in said.items() if name in names or (name != clear and hygiene.has_address(value))
        }
        if self.lenient:
            found |= {name for name, value in said.items() if hygiene.is_personal(name, value)}
        return frozenset(found)

    def lead(self, post: LeadPost, *, now: datetime, raw: bytes, verified: bool = False, test: bool = False) -> Ask:
        """Return the event of a post. Problem 422 for what cannot be."""
        kept: dict[str, Any] = {}
        sent = post
        if self.lenient:
            post, kept = leniency.relax(post, self.settings.get("default_region"))
        payloads.check(post)
        occurred_at = self._time(post.occurred_at, now)
        email, phone = self._email(post.email), self._phone(post.phone, post.country)
        connection = post.connection_id or self.connection_id
        identifiers = self._identifiers(email, phone, post.external_id, connection)
        if verified:
            # A phone that a correction brings alone does not name the lead: its id does.
            identifiers = [one for one in identifiers if one.kind != Kind.ALONE]
        elif not identifiers:
            self._email(sent.email), self._phone(sent.phone, sent.country)
            raise payloads.invalid(Pointer("/", "one of email, phone, external_id is required"))
        personal = {"email": email, "phone": phone, "first_name": post.first_name, "last_name": post.last_name}
        said = self._standing(post, now)
        attributes = {**post.attributes, **kept}
        if kept:
            payloads.check_size(attributes)
        capture = Capture(
            known={**self._known(post, email), **_elsewhere(said), **({"test": True} if test else {})},
            personal={name: value for name, value in personal.items() if value},
            attributes=attributes,
            hidden=self._hidden(attributes) | (frozenset(kept) & leniency.PERSONAL),
            external_ids=((connection, post.external_id),) if post.external_id else (),
            attribution=self._attribution(post, occurred_at),
            occurred_at=occurred_at,
            received_at=now,
            live=domain.is_live(occurred_at, now=now, window=self.live_window, asked=post.live),
            verified=verified,
            consents=tuple(self._consent(one, occurred_at, number) for number, one in enumerate(post.consent)),
        )
        return self._ask(now=now, raw=raw, capture=capture, identifiers=identifiers, said=said)

    def _ask(self, *, now: datetime, raw: bytes, **what: Any) -> Ask:
        return Ask(
            event_id=ids.new(),
            received_at=now,
            connection_id=self.connection_id,
            provider=self.provider,
            raw=raw,
            headers={},
            **what,
        )

    def engagement(self, post: EngagementPost, *, now: datetime, raw: bytes) -> Ask:
        """Return the event of an engagement."""
        payloads.check(post)
        if not post.kind:
            raise payloads.invalid(Pointer("/kind", "required"))
        hidden = self._hidden(post.properties, post.kind)
        details = {
            "kind": post.kind,
            "properties": {name: value for name, value in post.properties.items() if name not in hidden},
        }
        hides = {name: value for name, value in post.properties.items() if name in hidden}
        return self._fact(post, "engagement", details, now=now, raw=raw, hides=hides)

    def touch(self, post: TouchPost, *, now: datetime, raw: bytes) -> Ask:
        """Return the event of a touch."""
        payloads.check(post)
        if not post.rep_id:
            raise payloads.invalid(Pointer("/rep_id", "required"))
        next_at = payloads.instant(post.next_at, "next_at")
        details = {
            "rep_id": post.rep_id,
            "kind": post.kind,
            "outcome": post.outcome,
            "automated": post.automated,
            "next_step": post.next_step,
            "next_at": times.text(next_at) if next_at is not None else None,
        }
        return self._fact(post, "touch", details, now=now, raw=raw, note=post.note)

    def _fact(
        self,
        post: EngagementPost | TouchPost,
        what: str,
        details: Mapping[str, Any],
        *,
        now: datetime,
        raw: bytes,
        note: str | None = None,
        hides: Mapping[str, Any] | None = None,
    ) -> Ask:
        occurred_at = self._time(post.occurred_at, now)
        lead_id, identifiers = self._named(post)
        fact = Fact(
            what=what,
            external_id=post.external_id or None,
            occurred_at=occurred_at,
            live=domain.is_live(occurred_at, now=now, window=self.live_window, asked=post.live),
            details=details,
            hides=hides or {},
            note=note,
        )
        return self._ask(now=now, raw=raw, fact=fact, lead_id=lead_id, identifiers=identifiers)

    def _named(self, post: EngagementPost | TouchPost) -> tuple[UUID | None, list[Identifier]]:
        connection = post.connection_id or self.connection_id
        identifiers = self._identifiers(self._email(post.email), None, post.lead_external_id, connection)
        if post.lead_id is None and not identifiers:
            raise payloads.invalid(Pointer("/", "one of lead_id, email, lead_external_id is required"))
        try:
            return UUID(post.lead_id) if post.lead_id is not None else None, identifiers
        except ValueError:
            raise payloads.invalid(Pointer("/lead_id", "the id that POST /v1/leads answered with")) from None

    def _time(self, given: str | None, now: datetime, name: str = "occurred_at") -> datetime:
        try:
            return domain.settle_time(payloads.instant(given, name), now=now)
        except domain.InTheFuture:
            raise payloads.invalid(Pointer(f"/{name}", "more than five minutes ahead of our clock")) from None

    def _email(self, text: str | None) -> str | None:
        if not text:
            return None
        normal = normal_forms.email(text)
        if normal is None:
            raise payloads.invalid(Pointer("/email", "an address of at most 254 characters, such as name@example.com"))
        return normal

    def _phone(self, text: str | None, country: str | None) -> str | None:
        if not text:
            return None
        region = normal_forms.country(country) if country else self.settings.get("default_region")
        normal = hygiene.phone(text, region)
        if normal is None:
            raise payloads.invalid(Pointer("/phone", "a number with its country code, such as +49 30 901820"))
        return normal

    def _identifiers(
        self, email: str | None, phone: str | None, external_id: str | None, connection: str
    ) -> list[Identifier]:
        made = []
        if email:
            made.append(self._identifier(Kind.EMAIL, email))
        if external_id:
            made.append(self._identifier(f"{Kind.EXTERNAL}:{connection}", external_id))
        if phone:
            made.append(self._identifier(Kind.PHONE, phone))
        return named_by(made)

    def _identifier(self, kind: str, value: str) -> Identifier:
        return Identifier(str(kind), self.vault.digest(str(kind), value))

    def _known(self, post: LeadPost, email: str | None) -> dict[str, Any]:
        known: dict[str, Any] = {name: value for name in _COPIED if (value := getattr(post, name))}
        if isinstance(post, Correction) and post.spam is not None:
            if not post.spam and not post.reason:
                raise payloads.invalid(Pointer("/reason", "required: why it is no spam"))
            known["spam"] = post.spam
        elif hygiene.is_spam(post.first_name, post.last_name):
            known["spam"] = True
        if not post.source and (default := self.settings.get("default_source")):
            known["source"] = default
        for name in ("employees", "revenue"):
            if getattr(post, name) is not None:
                known[name] = getattr(post, name)
        if post.country:
            code = normal_forms.country(post.country)
            if code is None:
                raise payloads.invalid(Pointer("/country", "ISO 3166-1 alpha-2, such as DE"))
            known["country"] = code
        domain_part = email.rpartition("@")[2] if email else ""
        if domain_part:
            known["email_domain"] = domain_part
            known["email_is_free"] = normal_forms.is_free(domain_part)
            known["email_is_disposable"] = normal_forms.is_disposable(domain_part)
        if account := normal_forms.account_domain(domain_part, post.website or ""):
            known["account_domain"] = account
        return known

    def _attribution(self, post: LeadPost, occurred_at: datetime) -> dict[str, Any]:
        source = post.source or self.settings.get("default_source")
        said = {
            "source": source,
            "medium": post.medium,
            "campaign": post.campaign,
            "cost": payloads.money(post.cost, "cost"),
            "currency": payloads.currency(post.currency),
        }
        given = {name: value for name, value in said.items() if value}
        return {**given, "at": times.text(occurred_at)} if given else {}

    def _standing(self, post: LeadPost, now: datetime) -> dict[str, Any]:
        said = {
            "owner_id": post.owner_id,
            "assigned_at": self._time(post.assigned_at, now, "assigned_at") if post.assigned_at else None,
            "stage": post.stage,
            "status": post.status,
            "disqualified_reason": post.disqualified_reason,
            "keep": post.keep,
        }
        return {name: value for name, value in said.items() if value}

    def _consent(self, said: Consent, occurred_at: datetime, number: int) -> dict[str, Any]:
        payloads.check(said, f"/consent/{number}")
        return {
            "purpose": said.purpose,
            "basis": said.basis,
            "granted": said.granted,
            "at": payloads.instant(said.at, f"consent/{number}/at") or occurred_at,
            "text_version": said.text_version,
        }


def _elsewhere(said: Mapping[str, Any]) -> dict[str, Any]:
    """Return what stays with the lead of how it stands elsewhere."""
    kept = {name: said[name] for name in domain.ELSEWHERE if name in said}
    return kept | ({"assigned_at": times.text(said["assigned_at"])} if "assigned_at" in said else {})
