"""Kestrel, the company of the demo: its people in three time zones, and what marketing and sales agreed on."""

from dataclasses import dataclass
from datetime import datetime, time, timedelta
from typing import Any, Final
from zoneinfo import ZoneInfo

WEEK: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
WEEKDAYS: Final = WEEK[:5]
LATE_WEEK: Final = ("wed", "thu", "fri", "sat", "sun")
DOMAIN: Final = "kestrel.example"


@dataclass(frozen=True, slots=True)
class Rep:
    """Somebody who receives leads, and how the demo plays them."""

    rep_id: str
    name: str
    role: str
    team: str
    zone: str
    days: tuple[str, ...]
    start: time
    end: time
    languages: tuple[str, ...]
    pace_s: tuple[float, float]
    """How long this one takes to the first call, from and to."""
    care: float
    """The share of leads that this one calls at all."""

    @property
    def email(self) -> str:
        """Return the address that this one signs in with."""
        return f"{self.name.lower().replace(' ', '.').replace('á', 'a')}@{DOMAIN}"

    def left(self, now: datetime) -> timedelta:
        """Return how much of this one's working day is left; nothing outside of it."""
        local = now.astimezone(ZoneInfo(self.zone))
        if WEEK[local.weekday()] not in self.days or not self.start <= local.time() < self.end:
            return timedelta(0)
        return datetime.combine(local.date(), self.end, local.tzinfo) - local

    def body(self) -> dict[str, Any]:
        """Return what PUT /v1/reps takes."""
        hours = [{"days": list(self.days), "start": f"{self.start:%H:%M}", "end": f"{self.end:%H:%M}"}]
        return {
            "name": self.name,
            "email": self.email,
            "team": self.team,
            "role": self.role,
            "manager_id": MANAGER.rep_id,
            "time_zone": self.zone,
            "working_hours": hours,
            "languages": list(self.languages),
            "cap": 60 if self.role == "sdr" else 40,
        }


@dataclass(frozen=True, slots=True)
class Manager:
    """Somebody who watches over reps."""

    rep_id: str
    name: str

    @property
    def email(self) -> str:
        """Return the address that this one signs in with."""
        return f"{self.name.lower().replace(' ', '.')}@{DOMAIN}"


MANAGER: Final = Manager("ingrid", "Ingrid Solberg")
_BERLIN, _CHICAGO, _TOKYO = "Europe/Berlin", "America/Chicago", "Asia/Tokyo"
_EIGHT, _SIX, _SEVEN = time(8), time(18), time(19)

# Berlin from 8 to 18, Chicago to 19 and Tokyo to 18 follow upon each other without a gap, in summer and in winter; on
# each day of the week two of the three of a zone work, so that there is always somebody.
SDRS: Final = (
    Rep("dana", "Dana Okafor", "sdr", "emea", _BERLIN, WEEKDAYS, _EIGHT, _SIX, ("de", "en"), (20, 150), 0.85),
    Rep("jonas", "Jonas Weber", "sdr", "emea", _BERLIN, LATE_WEEK, _EIGHT, _SIX, ("de", "en"), (40, 200), 0.9),
    Rep("marek", "Marek Novák", "sdr", "emea", _BERLIN, WEEK, _EIGHT, _SIX, ("cs", "en"), (150, 420), 0.75),
    Rep("priya", "Priya Raman", "sdr", "americas", _CHICAGO, WEEKDAYS, _EIGHT, _SEVEN, ("en",), (30, 160), 0.85),
    Rep("sam", "Sam Whitlock", "sdr", "americas", _CHICAGO, WEEK, _EIGHT, _SEVEN, ("en",), (200, 500), 0.6),
    Rep("tomas", "Tomás Rivera", "sdr", "americas", _CHICAGO, LATE_WEEK, _EIGHT, _SEVEN, ("es", "en"), (30, 240), 0.8),
    Rep("aiko", "Aiko Tanaka", "sdr", "apac", _TOKYO, WEEKDAYS, _EIGHT, _SIX, ("ja", "en"), (20, 120), 0.9),
    Rep("kenji", "Kenji Mori", "sdr", "apac", _TOKYO, WEEK, _EIGHT, _SIX, ("ja", "en"), (90, 400), 0.75),
)
SALES: Final = (
    Rep("lena", "Lena Fischer", "sales", "emea", _BERLIN, WEEK, _EIGHT, _SIX, ("de", "en"), (60, 300), 0.9),
    Rep("ruth", "Ruth Adeyemi", "sales", "americas", _CHICAGO, WEEK, _EIGHT, _SEVEN, ("en",), (60, 300), 0.9),
    Rep("yuki", "Yuki Sato", "sales", "apac", _TOKYO, WEEK, _EIGHT, _SIX, ("ja", "en"), (60, 300), 0.9),
)
REPS: Final = (*SDRS, *SALES)


def on_duty(now: datetime) -> Rep:
    """Return the SDR with the longest day before them, whose inbox is the one to look at."""
    return max(SDRS, key=lambda rep: (rep.left(now), rep.care))


DEFINITION: Final = """\
# What Kestrel's marketing and sales call a qualified lead.
order: 1
required: [email, company]
exclude:
  - {rule: too small, when: '!("employees" in lead.missing) && lead.employees < 10', reason: too_small, action: nurture}
fit:
  - {rule: mid-market, when: lead.employees >= 100 && lead.employees < 5000, points: 40}
  - {rule: small company, when: lead.employees >= 20 && lead.employees < 100, points: 20}
  - {rule: finance lead, when: 'lead.job_title.contains("CFO") || lead.job_title.contains("Finance")', points: 15}
  - {rule: head of a team, when: lead.job_title.startsWith("Head"), points: 10}
  - {rule: free mail, when: lead.email_is_free, points: -30}
situation:
  - {rule: replaces a tool, when: lead.attributes.current_tool != "", points: 10}
interest:
  half_life: 14d
  ceiling: 100
  groups:
    - group: content
      ceiling: 30
      rules:
        - {rule: webinar, kind: webinar_attended, points: 15, ceiling: 30}
        - {rule: paper, kind: content_downloaded, points: 10}
    - group: buying
      ceiling: 50
      rules:
        - {rule: pricing, kind: pricing_viewed, points: 15}
        - {rule: form, kind: form_submitted, points: 20}
buying_signals: [demo_requested, contact_requested]
signal_for: 30d
bands: {fit: {A: 40, B: 20, C: 0}, interest: {1: 50, 2: 20, 3: 0}}
matrix: {A1: pass, A2: pass, A3: nurture, B1: pass, B2: review, B3: nurture, C1: review, C2: nurture, C3: nurture}
hot: {points: 30, within: 10m, unowned: none}
"""
POLICY: Final = """\
# Who gets which lead: the pool of its part of the world, else whoever works now.
pools:
  - {pool: emea, reps: rep.role == "sdr" && rep.team == "emea", strategy: weighted_round_robin}
  - {pool: americas, reps: rep.role == "sdr" && rep.team == "americas", strategy: weighted_round_robin}
  - {pool: apac, reps: rep.role == "sdr" && rep.team == "apac", strategy: weighted_round_robin}
  - {pool: world, reps: rep.role == "sdr", strategy: least_loaded}
  - {pool: sales, reps: rep.role == "sales", strategy: least_loaded}
rules:
  - {rule: named accounts, to: owner}
  - {rule: sales ready, when: lead.stage == "srl", to: sales}
  - {rule: europe, when: 'lead.country in ["DE", "AT", "CH", "GB", "NO", "NL"]', to: emea, fallback: world}
  - {rule: americas, when: 'lead.country in ["US", "CA", "BR", "MX"]', to: americas, fallback: world}
  - {rule: asia, when: 'lead.country in ["JP", "SG", "AU", "IN"]', to: apac, fallback: world}
  - {rule: everyone, to: world}
"""
SLA: Final = """\
# How soon somebody follows up.
clocks:
  - {kind: first_response_5m, within: 5m, from: assignment, warn: [60%]}
  - {kind: first_response_30m, within: 30m, from: assignment, warn: [80%]}
  - {kind: first_response_1d, within: 1d, from: assignment}
  - {kind: minimum_touches, within: 14d, from: assignment, touches: {call: 3, email: 3}}
escalations:
  - {kind: first_response_30m, after: 0s, to: manager}
"""
TARGETS: Final = {"emea": "240000", "americas": "320000", "apac": "160000"}
