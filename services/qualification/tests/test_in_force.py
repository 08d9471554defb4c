"""Which version of a definition is in force when, whatever is scheduled, moved and cancelled."""

from datetime import UTC, datetime, timedelta
from typing import Any

from backbone import times

SOON = datetime.now(UTC).replace(microsecond=0) + timedelta(days=1)


def day(number: int) -> str:
    """Return an instant that is to come."""
    return times.text(SOON + timedelta(days=number))


async def signed(company: Any, count: int) -> None:
    """Put versions and let both parties sign them."""
    for _ in range(count):
        await company.sign(await company.put())


async def activate(company: Any, version: int, number: int | None = None, *, status: int = 200) -> None:
    body = {"at": day(number)} if number is not None else None
    answer = await company.actor.http.post(f"/v1/definitions/{company.name}/{version}/activate", json=body)
    assert answer.status_code == status, answer.text


async def shown(company: Any) -> dict[int, dict[str, Any]]:
    """Return all versions."""
    found, asked = list[Any](), {"limit": "500"}
    while asked is not None:
        page = (await company.actor.http.get("/v1/definitions", params=asked)).json()
        found += [one for one in page["items"] if one["name"] == company.name]
        asked = {"limit": "500", "cursor": page["next_cursor"]} if page["next_cursor"] else None
    return {one["version"]: one for one in found}


async def spans(company: Any) -> dict[int, tuple[bool, str | None]]:
    """Return of versions that are or will be in force: whether they are by now, and until when."""
    now, found = datetime.now(UTC), await shown(company)
    active = {version: one for version, one in found.items() if one["state"] == "active"}
    return {version: (times.parse(one["active_from"]) <= now, one["active_until"]) for version, one in active.items()}


async def test_a_version_that_is_put_off_leaves_the_one_before_it_in_force(company: Any) -> None:
    await signed(company, 2)
    await activate(company, 1)
    for number in (1, 5, 3):
        await activate(company, 2, number)
        assert await spans(company) == {1: (True, day(number)), 2: (False, None)}


async def test_one_that_is_cancelled_before_it_begins_leaves_those_around_it(company: Any) -> None:
    await signed(company, 3)
    await activate(company, 1)
    await activate(company, 2, 1)
    await activate(company, 3, 2)
    answer = await company.actor.http.post(f"/v1/definitions/{company.name}/2/retire")
    assert answer.status_code == 200, answer.text
    assert await spans(company) == {1: (True, day(2)), 3: (False, None)}


async def test_the_one_in_force_cannot_begin_later(company: Any) -> None:
    await signed(company, 2)
    await activate(company, 1)
    await activate(company, 1, 1, status=409)
    await activate(company, 2)
    await activate(company, 1, 1)
    assert await spans(company) == {1: (False, None), 2: (True, day(1))}


async def test_what_is_over_or_never_began_says_so_still_when_it_is_retired(company: Any) -> None:
    await signed(company, 3)
    await activate(company, 1)
    began = (await shown(company))[1]["active_from"]
    await activate(company, 1)
    assert (await shown(company))[1]["active_from"] == began, "it was in force all the while"
    await activate(company, 2)
    over = (await shown(company))[1]
    await activate(company, 3, 5)
    for version in (1, 3, 2, 2):
        answer = await company.actor.http.post(f"/v1/definitions/{company.name}/{version}/retire")
        assert answer.status_code == 200, answer.text
    found = await shown(company)
    assert found[1] == over
    assert (found[3]["active_from"], found[3]["active_until"]) == (None, None)
    assert found[2]["active_until"] is not None
