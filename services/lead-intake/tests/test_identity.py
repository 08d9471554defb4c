"""Who is who, as a function of what was said and not of its order."""

from collections.abc import Sequence
from itertools import combinations
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lead_intake.identity import Identifier, Join, Kind, Part, People, Why, named_by

EMAILS = ("a@x", "b@x", "c@x")
PHONES = ("+1", "+2")
EXTERNALS = ("7", "8", "9")

Said = tuple[str, str, str]
"""An e-mail, a phone and an external id; empty where nothing was said."""
Groups = frozenset[frozenset[int]]

captures = st.tuples(
    st.sampled_from(("", *EMAILS)), st.sampled_from(("", *PHONES)), st.sampled_from(("", *EXTERNALS))
).filter(any)


def identifiers(said: Said) -> list[Identifier]:
    kinds = (Kind.EMAIL, Kind.PHONE, Kind.EXTERNAL)
    return named_by([Identifier(kind, value.encode()) for kind, value in zip(kinds, said, strict=True) if value])


def grouped(said: Sequence[Said], order: Sequence[int]) -> Groups:
    """Return who is who after the captures came in this order."""
    people = People()
    leads = {number: people.place(identifiers(said[number]), UUID(int=at + 1)).lead for at, number in enumerate(order)}
    groups: dict[UUID, set[int]] = {}
    for number, lead in leads.items():
        groups.setdefault(people.survivor(lead), set()).add(number)
    assert all(people.survivor(people.survivor(lead)) == people.survivor(lead) for lead in people.survivors)
    return frozenset(map(frozenset, groups.values()))


def expected(said: Sequence[Said]) -> Groups:
    """Say it once more, from the rule alone: components over e-mail and external id, and over phones that may join."""
    emails = {phone: {one[0] for one in said if one[1] == phone and one[0]} for phone in PHONES}
    group = {number: {number} for number in range(len(said))}
    for (one, a), (other, b) in combinations(enumerate(said), 2):
        same_phone = bool(a[1]) and a[1] == b[1]
        alone = same_phone and not any((a[0], a[2], b[0], b[2]))
        same = (a[0] and a[0] == b[0]) or (a[2] and a[2] == b[2])
        if same or alone or (same_phone and len(emails[a[1]]) <= 1):
            both = group[one] | group[other]
            group |= dict.fromkeys(both, both)
    return frozenset(map(frozenset, group.values()))


@given(st.lists(captures, max_size=9).flatmap(lambda said: st.tuples(st.just(said), st.permutations(range(len(said))))))
def test_who_is_who_does_not_depend_on_the_order(case: tuple[list[Said], list[int]]) -> None:
    said, order = case
    assert grouped(said, order) == expected(said)


def test_a_second_e_mail_parts_whom_the_phone_alone_had_joined() -> None:
    people = People()
    alone, first, second = (UUID(int=number) for number in (1, 2, 3))
    people.place(identifiers(("", "+1", "")), alone)
    assert people.place(identifiers(("a@x", "+1", "")), first).changes == [Join(first, alone, Why.PHONE)]
    assert people.survivor(first) == alone
    place = people.place(identifiers(("b@x", "+1", "")), second)
    assert place.changes == [Part(first, alone, [first], [alone])]
    assert {people.survivor(lead) for lead in (alone, first, second)} == {alone, first, second}


def test_the_older_of_two_survives() -> None:
    people = People()
    young, old = UUID(int=9), UUID(int=1)
    people.place(identifiers(("a@x", "", "")), young)
    people.place(identifiers(("", "", "7")), old)
    place = people.place(identifiers(("a@x", "", "7")), UUID(int=10))
    assert (place.lead, place.is_new) == (young, False)
    assert place.changes == [Join(young, old, Why.SAME)]


@pytest.mark.parametrize("other", [2, 3])
def test_parting_by_hand_takes_along_whoever_is_joined_to_that_lead_alone(other: int) -> None:
    people = People()
    a, b, c = (UUID(int=number) for number in (1, 2, 3))
    people.place(identifiers(("a@x", "", "")), a)
    people.place(identifiers(("b@x", "", "")), b)
    people.place(identifiers(("c@x", "", "")), c)
    people.place(identifiers(("b@x", "", "7")), UUID(int=4))
    people.place(identifiers(("c@x", "", "7")), UUID(int=5))
    people.place(identifiers(("a@x", "", "8")), UUID(int=6))
    people.place(identifiers(("b@x", "", "8")), UUID(int=7))
    assert {people.survivor(lead) for lead in (a, b, c)} == {a}
    (part,) = people.part(a, UUID(int=other))
    assert set(part.members) == ({b, c} if other == 2 else {c})
    assert people.survivor(a) == a
