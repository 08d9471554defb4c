"""Stages of a lead and how it moves between them: pure decisions."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, Final

from qualification.scoring import Action, Score


class Stage(StrEnum):
    """Where a lead stands."""

    NEW = "new"
    NURTURE = "nurture"
    MQL = "mql"
    SRL = "srl"
    SQL = "sql"
    CUSTOMER = "customer"
    DISQUALIFIED = "disqualified"


BEYOND_SCORING: Final = frozenset({Stage.SRL, Stage.SQL, Stage.CUSTOMER})
"""People decided these; points do not undo it."""
QUESTIONS: Final = ("budget", "authority", "need", "timing")
ANSWERS: Final = ("yes", "no", "unknown")
IMPORTED: Final = "imported"
NO_DEFINITION: Final = "no_definition"


class Refused(Exception):
    """A decision that the lead's stage or its BANT does not allow; the text says what to do."""


@dataclass(frozen=True, kw_only=True, slots=True)
class State:
    """What decides over a lead beside its score."""

    stage: Stage = Stage.NEW
    cycle: int = 1
    reason: str = ""
    definition: str = ""
    recycled_until: datetime | None = None
    decided_by_person: bool = False
    bant: Mapping[str, Any] = field(default_factory=dict)


def stage_by_score(state: State, score: Score | None, *, now: datetime) -> tuple[Stage, str]:
    """Return the stage that the score gives, with its reason code. Without a definition a lead stays as it is."""
    if state.stage in BEYOND_SCORING:
        return state.stage, state.reason
    if score is None:
        return state.stage, NO_DEFINITION if state.stage is Stage.NEW else state.reason
    if state.stage is Stage.DISQUALIFIED and state.decided_by_person:
        return state.stage, state.reason
    if score.action is Action.DROP:
        return Stage.DISQUALIFIED, score.reason or "dropped"
    if score.action is Action.PASS and not score.missing:
        if state.recycled_until is not None and state.recycled_until > now:
            return Stage.NURTURE, state.reason
        return Stage.MQL, ""
    if state.stage is Stage.MQL and (state.decided_by_person or score.action is Action.REVIEW):
        return Stage.MQL, state.reason
    return Stage.NURTURE, "missing_fields" if score.missing else score.reason


def needs_review(state: State, score: Score | None) -> bool:
    """Say whether the lead waits for an SDR's judgement."""
    return (
        score is not None
        and score.action is Action.REVIEW
        and not score.missing
        and state.stage is Stage.NURTURE
        and not state.decided_by_person
    )


def check_accept(state: State, asks: Mapping[str, Any], *, in_review: bool) -> None:
    """Refuse an SRL whose BANT is not what the definition asks for."""
    if state.stage is not Stage.MQL and not in_review:
        raise Refused("Only an MQL, or a lead in the review queue, becomes an SRL.")
    answers = {question: state.bant.get(question, {}).get("answer", "unknown") for question in QUESTIONS}
    for question in QUESTIONS:
        if asks.get(question) and answers[question] != asks[question]:
            raise Refused(f"The definition asks that {question} is {asks[question]}.")
    for question in asks.get("never_no", ()):
        if answers[question] == "no":
            raise Refused(f"The definition asks that {question} is not no.")
    yes = sum(answer == "yes" for answer in answers.values())
    if yes < asks.get("at_least_yes", 0):
        raise Refused(f"The definition asks for {asks['at_least_yes']} answers of yes; there are {yes}.")
