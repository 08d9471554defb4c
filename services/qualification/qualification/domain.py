"""Stages of a lead and how it moves between them: pure decisions."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from typing import Any, Final

from qualification.rules import Action
from qualification.scoring import Score


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
IMPORTED: Final = "imported"
NO_DEFINITION: Final = "no_definition"
MISSING_FIELDS: Final = "missing_fields"
LAST_RANK: Final = 999
DROPPED: Final = "dropped"
SPAM: Final = "spam"
TEST: Final = "test"


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
    """The stage is a person's word: points alone do not undo it."""
    bant: Mapping[str, Any] = field(default_factory=dict)


def reopened(state: State, *, now: datetime, something_new: bool) -> State:
    """Return the state after the time that a person gave a nurtured lead, or after it did something that counts."""
    if state.recycled_until is not None:
        return replace(state, recycled_until=None, decided_by_person=False) if state.recycled_until <= now else state
    if something_new and state.stage is Stage.NURTURE:
        return replace(state, decided_by_person=False)
    return state


def stage_by_score(state: State, score: Score | None, *, set_aside: str = "") -> tuple[Stage, str]:
    """Return the stage that the score gives, with its reason code. Without a definition a lead stays as it is.

    `set_aside` is why no score makes this lead an MQL: it is spam, or a provider's test.
    """
    if state.stage in BEYOND_SCORING:
        return state.stage, state.reason
    if set_aside:
        return (Stage.NEW if state.stage is Stage.NEW else Stage.NURTURE), set_aside
    if score is None:
        return state.stage, NO_DEFINITION if state.stage is Stage.NEW else state.reason
    if state.decided_by_person and (state.stage is not Stage.MQL or score.action is not Action.DROP):
        return state.stage, state.reason
    if score.action is Action.DROP:
        return Stage.DISQUALIFIED, score.reason or DROPPED
    if score.missing:
        return Stage.NURTURE, score.reason or MISSING_FIELDS
    if score.action is Action.PASS or (score.action is Action.REVIEW and state.stage is Stage.MQL):
        return Stage.MQL, ""
    return Stage.NURTURE, score.reason


def needs_review(state: State, score: Score | None) -> bool:
    """Say whether the lead waits for an SDR's judgement."""
    return (
        score is not None
        and score.action is Action.REVIEW
        and not score.missing
        and state.stage is Stage.NURTURE
        and not state.decided_by_person
        and state.reason not in (SPAM, TEST)
    )


_FURTHER: Final = (Stage.SRL, Stage.SQL, Stage.CUSTOMER)


def is_further(stage: Stage, other: Stage) -> bool:
    """Say whether people brought a lead further than another."""
    return stage in _FURTHER and (other not in _FURTHER or _FURTHER.index(stage) > _FURTHER.index(other))


def united(survivor: State, merged: State) -> State:
    """Return the survivor's state after a merge: what was answered of either is known of both."""
    answers = {question: said for question, said in merged.bant.items() if said.get("answer") != "unknown"}
    own = {question: said for question, said in survivor.bant.items() if said.get("answer") != "unknown"}
    return replace(survivor, bant={**answers, **own}, cycle=max(survivor.cycle, merged.cycle))


def bant_is_open(state: State) -> bool:
    """Say whether one of the four questions has no answer yet."""
    return any(state.bant.get(question, {}).get("answer", "unknown") == "unknown" for question in QUESTIONS)


def rank(grade: str) -> int:
    """Return a grade's place among all, the best first: A1, A2, B1, A3, B2, C1, …"""
    if len(grade) != 2 or not grade[0].isalpha() or not grade[1].isdigit():
        return LAST_RANK
    row, column = ord(grade[0].upper()) - ord("A"), int(grade[1]) - 1
    diagonal = row + column
    return diagonal * (diagonal + 1) // 2 + row + 1 if diagonal >= 0 else LAST_RANK


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


def check_end(state: State) -> None:
    """Refuse to send a customer away."""
    if state.stage is Stage.CUSTOMER:
        raise Refused("It is a customer.")
